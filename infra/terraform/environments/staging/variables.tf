variable "region" {
  description = "AWS region of the environment."
  type        = string
  default     = "eu-central-1"
}

variable "cidr" {
  description = "Addresses of the network, which is peered with shared's, 10.0.0.0/16."
  type        = string
}

variable "availability_zones" {
  description = "Zones that nodes are spread over. The overlay of production spreads its three pods over zones."
  type        = list(string)
}

variable "nat" {
  description = "NAT gateways: one for all zones, or one in each, so that the loss of a zone cuts off no other."
  type        = string
}

variable "interface_endpoints" {
  description = "AWS services that are reached inside of the network instead of through NAT, such as ecr.dkr."
  type        = set(string)
}

variable "kubernetes_version" {
  description = "Version of Kubernetes."
  type        = string
}

variable "cpu_nodes" {
  description = "Nodes without a GPU: instance types, and how many at least, at most and at first."
  type = object({
    instance_types = list(string)
    min            = number
    max            = number
    desired        = number
  })
}

variable "gpu_nodes" {
  description = "Nodes with NVIDIA GPUs, none of which runs until somebody asks for one."
  type = object({
    instance_types = list(string)
    min            = number
    max            = number
  })
}

variable "operators" {
  description = "ARNs of the IAM roles of people who administer the cluster with kubectl."
  type        = set(string)
}

variable "public_access_cidrs" {
  description = "Networks that may reach the API server of Kubernetes from the internet. Empty: it is private. GitHub's own runners need 0.0.0.0/0, where IAM alone guards it."
  type        = list(string)
}

variable "log_days" {
  description = "Days that replaced and deleted objects of the prediction log are kept."
  type        = number
}

variable "host" {
  description = "Name of the service behind the ingress. Null: it is reached from inside of the cluster only."
  type        = string
  default     = null
}

variable "elastic_deployment" {
  description = "Alias of the deployment in Elastic Cloud that pods reach by a private link, such as slipway-d53192. Null: there is no search."
  type        = string
  default     = null
}

variable "prometheus" {
  description = "Namespace and ServiceAccount of the Prometheus in the cluster, which may write to the workspace of AWS."
  type = object({
    namespace       = string
    service_account = string
  })
  default = {
    namespace       = "monitoring"
    service_account = "prometheus-k8s"
  }
}

variable "alert_emails" {
  description = "E-mail addresses that get alerts, once their owners have followed the link in the first e-mail."
  type        = set(string)
}

variable "notifications" {
  description = "Whether alerts of Prometheus are sent to `alert_emails`."
  type        = bool
  default     = true
}

variable "grafana" {
  description = "Whether there is a managed Grafana, whose people log in by IAM Identity Center."
  type        = bool
  default     = false
}

variable "protected" {
  description = "Whether AWS or Terraform refuses to delete cluster and buckets, and workflows may not try."
  type        = bool
}
