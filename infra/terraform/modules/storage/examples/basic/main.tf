# The bucket of MLflow's artifacts, whose objects stay, and that of the prediction log, whose objects expire.

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

module "storage" {
  source = "../.."

  name = "slipway-staging"
  buckets = {
    artifacts = { noncurrent_days = 90 }
    log       = { expire_days = 400 }
  }
}

output "bucket_names" {
  description = "Names for `SLIPWAY_LOG_URL` and for MLflow's artifacts."
  value       = module.storage.bucket_names
}
