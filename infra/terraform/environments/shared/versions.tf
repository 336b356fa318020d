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
    key          = "shared/terraform.tfstate"
    use_lockfile = true
  }
}

locals {
  tags = {
    application = "slipway"
    environment = "shared"
    managed-by  = "terraform"
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = local.tags
  }
}

# Charges are a metric of this region alone.
provider "aws" {
  alias  = "billing"
  region = "us-east-1"

  default_tags {
    tags = local.tags
  }
}
