variable "name" {
  description = "First part of every role's name, NAME-ENVIRONMENT-ROLE, and of the SSM parameter /NAME/ENVIRONMENT with the environment's outputs."
  type        = string
  default     = "slipway"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name is ${var.name}: use 3 to 20 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "environment" {
  description = "Name of the environment. In GitHub, the environment of the same name deploys, and ENVIRONMENT-infrastructure applies."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.environment))
    error_message = "environment is ${var.environment}: use 3 to 20 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "repository" {
  description = "Repository on GitHub whose workflows get the roles, as OWNER/NAME."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9](-?[A-Za-z0-9])*/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository is ${var.repository}: give OWNER/NAME, without wildcards and without github.com."
  }
}

variable "provider_arn" {
  description = "OIDC provider of GitHub in this account; null to make it. An account has one: the first environment makes it."
  type        = string
  default     = null

  validation {
    condition     = var.provider_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com$", var.provider_arn))
    error_message = "provider_arn is ${coalesce(var.provider_arn, "null")}: give arn:aws:iam::ACCOUNT:oidc-provider/token.actions.githubusercontent.com, or null."
  }
}

variable "state_bucket_arn" {
  description = "Bucket of Terraform's state, which is at ENVIRONMENT/terraform.tfstate in it."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]+[a-z0-9]$", var.state_bucket_arn))
    error_message = "state_bucket_arn is ${var.state_bucket_arn}: give the ARN of the bucket (arn:aws:s3:::BUCKET), as the bootstrap's output names it."
  }
}

variable "state_key_arn" {
  description = "KMS key that encrypts Terraform's state."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-f-]+$", var.state_key_arn))
    error_message = "state_key_arn is ${var.state_key_arn}: give the ARN of the key (arn:aws:kms:REGION:ACCOUNT:key/ID), as the bootstrap's output names it."
  }
}

variable "push_repository_arns" {
  description = "ECR repositories that the role `images` pushes to; []: there is no such role."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.push_repository_arns : can(regex("^arn:aws[a-z-]*:ecr:[a-z0-9-]+:[0-9]{12}:repository/[a-z0-9._/-]+$", arn))])
    error_message = "push_repository_arns is [${join(", ", var.push_repository_arns)}]: give ARNs of ECR repositories, without wildcards."
  }
}

variable "pull_repository_arns" {
  description = "ECR repositories whose signatures the role `deploy` verifies."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.pull_repository_arns : can(regex("^arn:aws[a-z-]*:ecr:[a-z0-9-]+:[0-9]{12}:repository/[a-z0-9._/-]+$", arn))])
    error_message = "pull_repository_arns is [${join(", ", var.pull_repository_arns)}]: give ARNs of ECR repositories, without wildcards."
  }
}

variable "cluster_arn" {
  description = "Cluster that the role `deploy` deploys to; null: there is no such role. Must be known when planning, as the output of the module `cluster` is."
  type        = string
  default     = null

  validation {
    condition     = var.cluster_arn == null || can(regex("^arn:aws[a-z-]*:eks:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9_-]+$", var.cluster_arn))
    error_message = "cluster_arn is ${coalesce(var.cluster_arn, "null")}: give the ARN of one cluster (arn:aws:eks:REGION:ACCOUNT:cluster/NAME), or null."
  }
}

variable "protected" {
  description = "Whether the role `apply` is denied what cannot be undone: deleting the cluster, databases, buckets, repositories and keys."
  type        = bool
  default     = false
}
