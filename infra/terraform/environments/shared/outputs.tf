output "environment" {
  description = "What the other environments and workflows need to know: also the SSM parameter /slipway/shared."
  value       = local.environment
}
