# A budget of 1000 US dollars a month, and an alarm when 1500 are charged.

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
  region = "us-east-1"
}

module "billing" {
  source = "../.."

  name               = "slipway-example"
  emails             = ["platform-team@example.com"]
  monthly_budget_usd = 1000
  charges_alarm_usd  = 1500
}

output "topic_arn" {
  description = "For more subscribers, such as a chat."
  value       = module.billing.topic_arn
}
