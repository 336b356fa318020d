"""Grafana dashboards as code: one module per dashboard, `python -m grafana` writes them to `grafana/dashboards/`."""
