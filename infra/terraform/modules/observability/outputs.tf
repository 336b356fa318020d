output "workspace_id" {
  description = "ID of the workspace of Prometheus."
  value       = aws_prometheus_workspace.this.id
}

output "workspace_arn" {
  description = "ARN of the workspace of Prometheus."
  value       = aws_prometheus_workspace.this.arn
}

output "prometheus_endpoint" {
  description = "URL of the workspace, for queries that are signed by SigV4."
  value       = aws_prometheus_workspace.this.prometheus_endpoint
}

output "remote_write_url" {
  description = "URL that a Prometheus in the cluster writes to (`remote_write`, with `sigv4`)."
  value       = "${trimsuffix(aws_prometheus_workspace.this.prometheus_endpoint, "/")}/api/v1/remote_write"
}

output "remote_write_policy" {
  description = "Policy that it needs for that, for `pod_identities` of the module `cluster`."
  value = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "aps:RemoteWrite", Resource = aws_prometheus_workspace.this.arn }]
  })
}

output "grafana_endpoint" {
  description = "Host name of Grafana; null without one."
  value       = one(aws_grafana_workspace.this[*].endpoint)
}

output "topic_arn" {
  description = "Topic of alerts."
  value       = module.alerts.arn
}
