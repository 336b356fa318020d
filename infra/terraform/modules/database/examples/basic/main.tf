# The database of a team, with a standby, in the private subnets of a network of its own.

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

module "network" {
  source = "../../../network"

  name                = "slipway-shared"
  cidr                = "10.0.0.0/16"
  availability_zones  = ["eu-central-1a", "eu-central-1b"]
  nat                 = "none"
  interface_endpoints = []
}

module "database" {
  source = "../.."

  name         = "slipway-shared"
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.private_subnet_ids
  client_cidrs = [module.network.cidr]
}

output "endpoint" {
  description = "Host that MLflow and Prefect connect to."
  value       = module.database.endpoint
}
