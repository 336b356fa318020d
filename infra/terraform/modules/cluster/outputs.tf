output "name" {
  description = "Name of the cluster, for `aws eks update-kubeconfig`."
  value       = aws_eks_cluster.this.name
}

output "arn" {
  description = "ARN of the cluster. Known before the cluster exists, so that roles can be made for it in the same plan."
  value       = local.arn
}

output "endpoint" {
  description = "URL of the Kubernetes API."
  value       = aws_eks_cluster.this.endpoint
}

output "certificate_authority" {
  description = "Certificate authority of the Kubernetes API, base64."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "security_group_id" {
  description = "Security group of nodes and control plane."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "kms_key_arn" {
  description = "KMS key of Secrets and logs."
  value       = aws_kms_key.this.arn
}

output "node_role_arn" {
  description = "Role of the nodes."
  value       = aws_iam_role.nodes.arn
}

output "pod_role_arns" {
  description = "Role of each ServiceAccount, by its name in `pod_identities`."
  value       = { for key in keys(var.pod_identities) : key => aws_iam_role.pods[key].arn }
}
