output "environment" {
  description = "What overlays and workflows need to know: also the SSM parameter /slipway/staging."
  value       = module.workload.environment
}
