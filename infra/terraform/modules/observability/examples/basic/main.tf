# Prometheus with the repository's rules and routes, and a Grafana beside it.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

locals {
  prometheus = "${path.module}/../../../../../../monitoring/prometheus"
}

module "observability" {
  source = "../.."

  name         = "slipway-example"
  alert_emails = ["on-call@example.com"]
  rules        = { for file in fileset("${local.prometheus}/rules", "*.yml") : trimsuffix(file, ".yml") => file("${local.prometheus}/rules/${file}") }
  alertmanager = file("${local.prometheus}/alertmanager.yml")
  grafana      = true
}

output "remote_write_url" {
  description = "For `remote_write` of the Prometheus in the cluster."
  value       = module.observability.remote_write_url
}
