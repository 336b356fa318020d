data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  log_group = "/aws/vendedlogs/prometheus/${var.name}"
}

module "alerts" {
  source = "../topic"

  name       = "${var.name}-alerts"
  publishers = ["aps.amazonaws.com"]
  emails     = var.alert_emails
}

# Prometheus: what it stores, what it evaluates, and whom it tells

resource "aws_kms_key" "logs" {
  description             = "Logs of Prometheus of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountDecidesByItsPolicies"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "LogGroupOfTheWorkspace"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnEquals = {
            "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group}"
          }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "logs" {
  name          = "alias/${var.name}-prometheus-logs"
  target_key_id = aws_kms_key.logs.key_id
}

# Rules that fail to evaluate, and alerts that cannot be delivered
resource "aws_cloudwatch_log_group" "prometheus" {
  name              = local.log_group
  retention_in_days = 365
  kms_key_id        = aws_kms_key.logs.arn
}

# Encrypted by AWS's own key: metrics have names of use cases and versions, and no personal data.
resource "aws_prometheus_workspace" "this" {
  alias = var.name

  logging_configuration {
    log_group_arn = "${aws_cloudwatch_log_group.prometheus.arn}:*"
  }
}

resource "aws_prometheus_rule_group_namespace" "this" {
  for_each = var.rules

  workspace_id = aws_prometheus_workspace.this.id
  name         = each.key
  data         = each.value
}

locals {
  # Prometheus of AWS sends to SNS and to nothing else.
  notification = {
    topic_arn     = module.alerts.arn
    sigv4         = { region = local.region }
    send_resolved = true
    subject       = "{{ .Status | toUpper }} {{ with .CommonAnnotations.summary }}{{ . }}{{ else }}{{ .CommonLabels.alertname }}{{ end }}"
    message       = <<-EOT
      {{ range .Alerts }}{{ .Annotations.summary }}
      {{ .Annotations.description }}
      Runbook: {{ .Annotations.runbook_url }}
      {{ end }}
    EOT
  }
}

resource "aws_prometheus_alert_manager_definition" "this" {
  count = var.alertmanager == null ? 0 : 1

  workspace_id = aws_prometheus_workspace.this.id
  definition = yamlencode({
    alertmanager_config = yamlencode(merge(yamldecode(var.alertmanager), {
      receivers = [
        for receiver in yamldecode(var.alertmanager).receivers :
        merge({ name = receiver.name }, contains(var.notified_receivers, receiver.name) ? { sns_configs = [local.notification] } : {})
      ]
    }))
  })
}

# Grafana: reads this workspace, as nobody in particular

resource "aws_iam_role" "grafana" {
  count = var.grafana ? 1 : 0

  name = "${var.name}-grafana"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "grafana.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "grafana" {
  count = var.grafana ? 1 : 0

  name = "query"
  role = aws_iam_role.grafana[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "aps:DescribeWorkspace", "aps:GetLabels", "aps:GetMetricMetadata", "aps:GetSeries", "aps:ListAlerts",
        "aps:ListRules", "aps:QueryMetrics",
      ]
      Resource = aws_prometheus_workspace.this.arn
    }]
  })
}

resource "aws_grafana_workspace" "this" {
  count = var.grafana ? 1 : 0

  name                     = var.name
  account_access_type      = "CURRENT_ACCOUNT"
  authentication_providers = var.grafana_authentication
  permission_type          = "CUSTOMER_MANAGED"
  role_arn                 = aws_iam_role.grafana[0].arn
  data_sources             = ["PROMETHEUS"]
}
