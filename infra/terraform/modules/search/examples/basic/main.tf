# A deployment in eu-central-1, for the clients of one VPC.

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

module "search" {
  source = "../.."

  name         = "slipway-example"
  vpc_id       = "vpc-0123456789abcdef0"
  subnet_ids   = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  client_cidrs = ["10.1.0.0/16"]
  deployment   = "slipway-d53192"
}

output "url" {
  description = "For ELASTICSEARCH_URL."
  value       = module.search.url
}
