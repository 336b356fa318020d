# The code of staging is that of production: both are made of ../workload, and differ in their variables only.

module "workload" {
  source = "../workload"

  environment = "production"

  cidr                = var.cidr
  availability_zones  = var.availability_zones
  nat                 = var.nat
  interface_endpoints = var.interface_endpoints
  kubernetes_version  = var.kubernetes_version
  cpu_nodes           = var.cpu_nodes
  gpu_nodes           = var.gpu_nodes
  operators           = var.operators
  public_access_cidrs = var.public_access_cidrs
  log_days            = var.log_days
  host                = var.host
  elastic_deployment  = var.elastic_deployment
  prometheus          = var.prometheus
  alert_emails        = var.alert_emails
  notifications       = var.notifications
  grafana             = var.grafana
  protected           = var.protected
}
