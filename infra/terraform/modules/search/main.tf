resource "aws_security_group" "this" {
  name        = "${var.name}-search"
  description = "Endpoint of Elastic Cloud for ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-search" }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = toset(var.client_cidrs)

  security_group_id = aws_security_group.this.id
  description       = "Elasticsearch and Kibana from ${each.key}"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_endpoint" "this" {
  vpc_id             = var.vpc_id
  service_name       = var.service_name
  vpc_endpoint_type  = "Interface"
  subnet_ids         = var.subnet_ids
  security_group_ids = [aws_security_group.this.id]

  # Elastic has not verified its domain with AWS: the zone below has the names.
  private_dns_enabled = false

  tags = { Name = "${var.name}-search" }
}

resource "aws_route53_zone" "this" {
  name    = var.domain
  comment = "Elastic Cloud by the endpoint of ${var.name}"

  vpc {
    vpc_id = var.vpc_id
  }
}

# Every deployment of the region has a name in it, and the proxy behind the endpoint tells them apart by it.
resource "aws_route53_record" "this" {
  zone_id = aws_route53_zone.this.zone_id
  name    = "*.${var.domain}"
  type    = "CNAME"
  ttl     = 60
  records = [aws_vpc_endpoint.this.dns_entry[0].dns_name]
}
