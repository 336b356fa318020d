# What the environments have in common: images, models, and the tables of MLflow and Prefect.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

# The bucket of the state and its key, as ../../bootstrap names them
data "aws_kms_alias" "state" {
  name = "alias/${local.state_name}"
}

locals {
  name = "slipway-shared"

  state_name = "slipway-state-${data.aws_caller_identity.current.account_id}"
  state = {
    bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${local.state_name}"
    key_arn    = data.aws_kms_alias.state.target_key_arn
  }

  # As `slipway package` and `make images` call them.
  images = concat(["slipway-ship", "slipway-platform"], [for name in var.use_cases : "slipway-serving-${replace(name, "_", "-")}"])

  environment = {
    region     = var.region
    account_id = data.aws_caller_identity.current.account_id
    repository = var.repository
    registry   = trimsuffix(module.registry.repository_urls["slipway-ship"], "/slipway-ship")

    repository_arns = values(module.registry.repository_arns)

    artifacts_url     = "s3://${module.storage.bucket_names["artifacts"]}/artifacts"
    artifacts_arn     = module.storage.bucket_arns["artifacts"]
    artifacts_key_arn = module.storage.kms_key_arn

    database = {
      host             = module.database.endpoint
      port             = module.database.port
      admin_secret_arn = module.database.secret_arn
    }
    network = {
      vpc_id          = module.network.vpc_id
      cidr            = module.network.cidr
      route_table_ids = module.network.private_route_table_ids
    }

    github_provider_arn = module.identity.provider_arn
    state               = local.state
    roles = {
      plan   = module.identity.plan_role_arn
      apply  = module.identity.apply_role_arn
      images = module.identity.images_role_arn
    }
  }
}

module "network" {
  source = "../../modules/network"

  name                = local.name
  cidr                = "10.0.0.0/16"
  availability_zones  = var.availability_zones
  nat                 = "none" # only the database is here, which asks nobody
  interface_endpoints = []
}

module "registry" {
  source = "../../modules/registry"

  name         = "slipway"
  repositories = local.images
  keep_images  = var.keep_images
}

module "storage" {
  source = "../../modules/storage"

  name = local.name
  buckets = {
    artifacts = { noncurrent_days = var.artifact_days, protected = var.protected }
  }
}

module "database" {
  source = "../../modules/database"

  name           = local.name
  vpc_id         = module.network.vpc_id
  subnet_ids     = module.network.private_subnet_ids
  client_cidrs   = var.client_cidrs
  instance_class = var.database_instance_class
  multi_az       = var.database_multi_az
  backup_days    = var.database_backup_days
  protected      = var.protected
  keep_backups   = var.database_keep_backups
}

module "identity" {
  source = "../../modules/identity"

  repository           = var.repository
  environment          = "shared"
  state_bucket_arn     = local.state.bucket_arn
  state_key_arn        = local.state.key_arn
  push_repository_arns = values(module.registry.repository_arns)
  protected            = var.protected
}

module "billing" {
  source    = "../../modules/billing"
  count     = var.monthly_budget_usd == null && var.charges_alarm_usd == null ? 0 : 1
  providers = { aws = aws.billing }

  name               = "slipway"
  emails             = var.billing_emails
  monthly_budget_usd = var.monthly_budget_usd
  charges_alarm_usd  = var.charges_alarm_usd
}

# The values that both clusters must have alike, since they share a registry: MLflow's passwords, the mask key, the
# signing key. Terraform makes the place, and people put the values, which are then in no state.
resource "aws_secretsmanager_secret" "services" {
  # checkov:skip=CKV2_AWS_57: the servers read it when they are installed; docs/how-to/deploy-on-aws.md says how it is changed
  name                    = "${local.name}-services"
  description             = "Secrets of Slipway that staging and production have in common."
  kms_key_id              = module.storage.kms_key_arn
  recovery_window_in_days = var.protected ? 30 : 0
}

resource "aws_ssm_parameter" "environment" {
  # checkov:skip=CKV2_AWS_34: names and addresses, no secret, which workflows and the other environments read
  # checkov:skip=CKV_AWS_337: names and addresses, no secret, which workflows and the other environments read
  name        = "/slipway/shared"
  description = "What environments and workflows need to know of ${local.name}."
  type        = "String"
  value       = jsonencode(local.environment)
}
