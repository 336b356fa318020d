output "bucket_names" {
  description = "Name of each bucket, by its key in `buckets`."
  value       = { for key in keys(var.buckets) : key => aws_s3_bucket.this[key].bucket }
}

output "bucket_arns" {
  description = "ARN of each bucket, by its key in `buckets`: what roles are limited to."
  value       = { for key in keys(var.buckets) : key => aws_s3_bucket.this[key].arn }
}

output "kms_key_arn" {
  description = "Key that encrypts the objects: who writes needs `kms:GenerateDataKey`, who reads `kms:Decrypt`."
  value       = aws_kms_key.this.arn
}
