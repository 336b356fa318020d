"""Elastic stack: what Elasticsearch, Kibana, Filebeat and Logstash are configured with, as code."""
