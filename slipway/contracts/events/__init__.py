"""The prediction event and the feedback event, one JSON line each."""
