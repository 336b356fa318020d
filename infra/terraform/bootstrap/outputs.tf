output "bucket" {
  description = "Bucket of the state."
  value       = aws_s3_bucket.state.bucket
}

output "bucket_arn" {
  description = "For `state_bucket_arn` of the module `identity`."
  value       = aws_s3_bucket.state.arn
}

output "kms_key_arn" {
  description = "For `state_key_arn` of the module `identity`."
  value       = aws_kms_key.state.arn
}

output "backend" {
  description = "Content of the file that `terraform init -backend-config=FILE` takes in every environment."
  value       = <<-EOT
    bucket       = "${aws_s3_bucket.state.bucket}"
    region       = "${var.region}"
    kms_key_id   = "${aws_kms_key.state.arn}"
    encrypt      = true
    use_lockfile = true
  EOT
}
