# One environment: a cluster that serves, trains and monitors, on the registry, the database and the artifacts of shared.

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

data "aws_ssm_parameter" "shared" {
  name = "/slipway/shared"
}

locals {
  name       = "slipway-${var.environment}"
  namespace  = "slipway"
  prometheus = "${path.module}/../../../../monitoring/prometheus"

  # It holds no secret, and plans should show what it says.
  shared = jsondecode(nonsensitive(data.aws_ssm_parameter.shared.value))

  environment = {
    region        = data.aws_region.current.name
    account_id    = data.aws_caller_identity.current.account_id
    cluster       = module.cluster.name
    log_url       = "s3://${module.storage.bucket_names["log"]}/log"
    artifacts_url = local.shared.artifacts_url
    registry      = local.shared.registry
    host          = var.host
    search_url    = one(module.search[*].url)

    prometheus = {
      remote_write_url = module.observability.remote_write_url
      endpoint         = module.observability.prometheus_endpoint
    }
    grafana = module.observability.grafana_endpoint

    database = {
      host             = local.shared.database.host
      port             = local.shared.database.port
      admin_secret_arn = local.shared.database.admin_secret_arn
      names            = { mlflow = "mlflow", prefect = "prefect_${var.environment}" }
    }
    roles = {
      plan   = module.identity.plan_role_arn
      apply  = module.identity.apply_role_arn
      deploy = module.identity.deploy_role_arn
    }
  }
}

module "network" {
  source = "../../modules/network"

  name                = local.name
  cidr                = var.cidr
  availability_zones  = var.availability_zones
  nat                 = var.nat
  interface_endpoints = var.interface_endpoints

  peer = {
    vpc_id          = local.shared.network.vpc_id
    cidr            = local.shared.network.cidr
    route_table_ids = local.shared.network.route_table_ids
  }
}

module "storage" {
  source = "../../modules/storage"

  name = local.name
  buckets = {
    log = { noncurrent_days = var.log_days, protected = var.protected }
  }
}

module "cluster" {
  source = "../../modules/cluster"

  name                = local.name
  kubernetes_version  = var.kubernetes_version
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.private_subnet_ids
  cpu_nodes           = var.cpu_nodes
  gpu_nodes           = var.gpu_nodes
  public_access_cidrs = var.public_access_cidrs
  protected           = var.protected

  pod_identities = merge(
    {
      for account, statements in local.rights : account => {
        namespace       = local.namespace
        service_account = account
        policy_json     = jsonencode({ Version = "2012-10-17", Statement = statements })
      }
    },
    {
      prometheus = merge(var.prometheus, { policy_json = module.observability.remote_write_policy })
    },
  )

  access = merge(
    {
      deploy = {
        principal_arn = module.identity.deploy_role_arn
        namespaces    = [local.namespace]
        policy        = "AmazonEKSAdminPolicy"
        groups        = ["slipway-deployers"] # what the policy lacks: infra/kubernetes/components/deployers
      }
    },
    {
      for arn in var.operators : "operator-${basename(arn)}" => {
        principal_arn = arn
        namespaces    = []
        policy        = "AmazonEKSClusterAdminPolicy"
        groups        = []
      }
    },
  )
}

module "identity" {
  source = "../../modules/identity"

  repository           = local.shared.repository
  environment          = var.environment
  provider_arn         = local.shared.github_provider_arn
  state_bucket_arn     = local.shared.state.bucket_arn
  state_key_arn        = local.shared.state.key_arn
  pull_repository_arns = local.shared.repository_arns
  cluster_arn          = module.cluster.arn
  protected            = var.protected
}

module "observability" {
  source = "../../modules/observability"

  name         = local.name
  alert_emails = var.alert_emails
  rules        = { for file in fileset(local.prometheus, "rules/*.yml") : trimsuffix(basename(file), ".yml") => file("${local.prometheus}/${file}") }
  alertmanager = var.notifications ? file("${local.prometheus}/alertmanager.yml") : null
  grafana      = var.grafana
}

module "search" {
  source = "../../modules/search"
  count  = var.elastic_deployment == null ? 0 : 1

  name         = local.name
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.private_subnet_ids
  client_cidrs = [module.network.cidr]
  deployment   = var.elastic_deployment
}

resource "aws_ssm_parameter" "environment" {
  # checkov:skip=CKV2_AWS_34: names and addresses, no secret, which workflows read
  # checkov:skip=CKV_AWS_337: names and addresses, no secret, which workflows read
  name        = "/slipway/${var.environment}"
  description = "What overlays and workflows need to know of ${local.name}."
  type        = "String"
  value       = jsonencode(local.environment)
}
