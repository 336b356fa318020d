output "repository_urls" {
  description = "URL of each repository, by its name in `repositories`: what images are tagged with and pulled by."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "repository_arns" {
  description = "ARN of each repository, by its name in `repositories`: what a role that pushes is limited to."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.arn }
}

output "registry_id" {
  description = "Account of the registry, for `aws ecr get-login-password`."
  value       = values(aws_ecr_repository.this)[0].registry_id
}
