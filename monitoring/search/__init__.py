"""Search over predictions, in Elasticsearch or, without it, in the prediction log, with the same results."""
