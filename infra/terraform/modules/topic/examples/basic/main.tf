# Alarms of CloudWatch, to one address.

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

module "topic" {
  source = "../.."

  name       = "slipway-example-alerts"
  publishers = ["cloudwatch.amazonaws.com"]
  emails     = ["on-call@example.com"]
}

output "arn" {
  description = "For `alarm_actions`."
  value       = module.topic.arn
}
