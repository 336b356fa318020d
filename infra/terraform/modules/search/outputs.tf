output "url" {
  description = "URL of Elasticsearch, for ELASTICSEARCH_URL."
  value       = "https://${var.deployment}.es.${var.domain}:443"
}

output "kibana_url" {
  description = "URL of Kibana, for people inside the network."
  value       = "https://${var.deployment}.kb.${var.domain}:443"
}

output "endpoint_id" {
  description = "ID of the endpoint, for the VPC filter of a private connection policy in Elastic Cloud."
  value       = aws_vpc_endpoint.this.id
}

output "dns_name" {
  description = "DNS name of the endpoint, which the deployment's names resolve to."
  value       = aws_vpc_endpoint.this.dns_entry[0].dns_name
}
