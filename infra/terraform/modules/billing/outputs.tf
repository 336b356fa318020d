output "topic_arn" {
  description = "Topic of the messages, in us-east-1."
  value       = module.topic.arn
}
