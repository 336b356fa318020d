# The roles of one environment, whose cluster exists, and which pulls images from one repository.

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

module "identity" {
  source = "../.."

  environment          = "staging"
  repository           = "example/slipway"
  state_bucket_arn     = "arn:aws:s3:::slipway-state-123456789012"
  state_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  cluster_arn          = "arn:aws:eks:eu-central-1:123456789012:cluster/slipway-staging"
  pull_repository_arns = ["arn:aws:ecr:eu-central-1:123456789012:repository/slipway/platform"]
}

output "deploy_role_arn" {
  description = "For `role-to-assume` of aws-actions/configure-aws-credentials."
  value       = module.identity.deploy_role_arn
}
