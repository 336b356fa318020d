output "arn" {
  description = "ARN of the topic, when services may publish to it."
  value       = aws_sns_topic.this.arn
  depends_on  = [aws_sns_topic_policy.this]
}

output "kms_key_arn" {
  description = "KMS key of its messages."
  value       = aws_kms_key.this.arn
}
