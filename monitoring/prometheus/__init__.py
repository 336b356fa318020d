"""Rules, and configurations of Prometheus and Alertmanager: what a platform team points its own servers at."""
