"""Elasticsearch: the connection, the names of the data streams, and what its errors mean."""
