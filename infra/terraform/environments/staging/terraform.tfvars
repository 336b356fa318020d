# Set your own: who administers the cluster, from where, and who gets alerts.
operators           = ["arn:aws:iam::123456789012:role/Operators"]
public_access_cidrs = ["198.51.100.0/24"]
alert_emails        = ["operators@example.org"]

cidr                = "10.1.0.0/16"
availability_zones  = ["eu-central-1a", "eu-central-1b"]
nat                 = "one"
interface_endpoints = []

kubernetes_version = "1.34"
cpu_nodes          = { instance_types = ["m7i.large"], min = 2, max = 4, desired = 2 }
gpu_nodes          = { instance_types = ["g6.xlarge"], min = 0, max = 1 }

log_days  = 7
grafana   = false
protected = false
