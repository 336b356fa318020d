"""One prediction, whatever the transport: parse, run, build responses, record."""
