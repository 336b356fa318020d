terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # Bucket, region and key of the state: infra/terraform/backend.hcl, which ../../bootstrap prints.
  backend "s3" {
    key          = "production/terraform.tfstate"
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      application = "slipway"
      environment = "production"
      managed-by  = "terraform"
    }
  }
}
