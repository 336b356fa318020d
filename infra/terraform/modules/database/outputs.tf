output "identifier" {
  description = "Identifier of the instance, for alarms and `aws rds`."
  value       = aws_db_instance.this.identifier
}

output "arn" {
  description = "ARN of the instance."
  value       = aws_db_instance.this.arn
}

output "endpoint" {
  description = "Host name of the instance, without the port."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "Port of the instance."
  value       = aws_db_instance.this.port
}

output "secret_arn" {
  description = "Secret with the name and password of the master user, which RDS replaces every week."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}

output "security_group_id" {
  description = "Security group of the instance."
  value       = aws_security_group.this.id
}

output "kms_key_arn" {
  description = "Key that encrypts storage, backups, logs and the master password: who reads the secret needs `kms:Decrypt`."
  value       = aws_kms_key.this.arn
}
