output "vpc_id" {
  description = "VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Address range of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "private_subnet_ids" {
  description = "Private subnets, in the order of `availability_zones`: of nodes, databases and internal load balancers."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Public subnets, in the order of `availability_zones`: of load balancers that the internet reaches."
  value       = [for zone in var.availability_zones : aws_subnet.public[zone].id]
}

output "private_route_table_ids" {
  description = "Route tables of the private subnets, in the order of `availability_zones`: what another network's `peer` needs."
  value       = [for zone in var.availability_zones : aws_route_table.private[zone].id]
}

output "endpoints_security_group_id" {
  description = "Security group of the interface endpoints, and of further endpoints in this VPC."
  value       = aws_security_group.endpoints.id
}

output "flow_log_group_name" {
  description = "CloudWatch group of the flow logs."
  value       = aws_cloudwatch_log_group.flow.name
}
