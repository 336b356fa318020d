# A cluster with GPU nodes from 0, one ServiceAccount that reads a bucket, and a role that deploys into one namespace.

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

module "cluster" {
  source = "../.."

  name       = "slipway-example"
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]

  cpu_nodes = { instance_types = ["m7i.large", "m6i.large"], min = 2, max = 6, desired = 2 }
  gpu_nodes = { instance_types = ["g6.xlarge"], max = 2 }

  pod_identities = {
    serving = {
      namespace       = "slipway"
      service_account = "serving"
      policy_json = jsonencode({
        Version   = "2012-10-17"
        Statement = [{ Effect = "Allow", Action = "s3:PutObject", Resource = "arn:aws:s3:::slipway-example-log/*" }]
      })
    }
  }

  access = {
    people = {
      principal_arn = "arn:aws:iam::123456789012:role/platform-team"
      policy        = "AmazonEKSClusterAdminPolicy"
    }
    deploy = {
      principal_arn = "arn:aws:iam::123456789012:role/slipway-example-deploy"
      policy        = "AmazonEKSAdminPolicy"
      namespaces    = ["slipway"]
    }
  }
}

output "name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = module.cluster.name
}
