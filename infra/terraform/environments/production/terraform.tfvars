# Set your own: who administers the cluster, from where, who gets alerts, and the service's name.
operators           = ["arn:aws:iam::123456789012:role/Operators"]
public_access_cidrs = ["198.51.100.0/24"]
alert_emails        = ["operators@example.org"]
host                = "slipway.example.com"

cidr                = "10.2.0.0/16"
availability_zones  = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
nat                 = "each"
interface_endpoints = ["ecr.api", "ecr.dkr"]

kubernetes_version = "1.34"
cpu_nodes          = { instance_types = ["m7i.large"], min = 3, max = 9, desired = 3 }
gpu_nodes          = { instance_types = ["g6.xlarge"], min = 0, max = 2 }

log_days  = 30
grafana   = true
protected = true
