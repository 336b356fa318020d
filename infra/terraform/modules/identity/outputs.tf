output "provider_arn" {
  description = "OIDC provider of GitHub, for the other environments of this account."
  value       = local.provider_arn
}

output "plan_role_arn" {
  description = "Role that plans: pull requests and the branch main."
  value       = aws_iam_role.this["plan"].arn
}

output "apply_role_arn" {
  description = "Role that applies: GitHub's environment ENVIRONMENT-infrastructure."
  value       = aws_iam_role.this["apply"].arn
}

output "images_role_arn" {
  description = "Role that pushes images: the branch main; null without `push_repository_arns`."
  value       = one([for name, role in aws_iam_role.this : role.arn if name == "images"])
}

output "deploy_role_arn" {
  description = "Role that deploys: GitHub's environment ENVIRONMENT; null without `cluster_arn`."
  value       = one([for name, role in aws_iam_role.this : role.arn if name == "deploy"])
}
