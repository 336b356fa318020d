# Three repositories: of the platform, of the shipper, and of the service of one use case.

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

module "registry" {
  source = "../.."

  name         = "slipway"
  repositories = ["platform", "ship", "loans"]
}

output "repository_urls" {
  description = "Where to push."
  value       = module.registry.repository_urls
}
