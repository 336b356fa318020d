"""Elasticsearch's side of Slipway: what has to be there, what is there, and how the streams are."""
