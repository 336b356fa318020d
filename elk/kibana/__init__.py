"""Kibana's data views, saved searches and dashboards, as code, with the ndjson that Kibana imports."""
