# Two networks that reach each other: one with the team's registry, and one of an environment that uses it.

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

module "shared" {
  source = "../.."

  name               = "slipway-shared"
  cidr               = "10.0.0.0/16"
  availability_zones = ["eu-central-1a", "eu-central-1b"]
}

module "staging" {
  source = "../.."

  name               = "slipway-staging"
  cidr               = "10.1.0.0/16"
  availability_zones = ["eu-central-1a", "eu-central-1b"]

  peer = {
    vpc_id          = module.shared.vpc_id
    cidr            = module.shared.cidr
    route_table_ids = module.shared.private_route_table_ids
  }
}

output "private_subnet_ids" {
  description = "Subnets for the nodes of staging."
  value       = module.staging.private_subnet_ids
}
