mock_provider "aws" {
  mock_resource "aws_vpc_endpoint" {
    defaults = {
      id        = "vpce-0123456789abcdef0"
      dns_entry = [{ dns_name = "vpce-0123456789abcdef0.vpce-svc.eu-central-1.vpce.amazonaws.com", hosted_zone_id = "Z0" }]
    }
  }
}

variables {
  name         = "slipway-test"
  vpc_id       = "vpc-0123456789abcdef0"
  subnet_ids   = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  client_cidrs = ["10.1.0.0/16"]
  deployment   = "slipway-d53192"
}

run "names_of_the_deployment_resolve_to_the_endpoint" {
  assert {
    condition     = aws_route53_record.this.name == "*.vpce.eu-central-1.aws.elastic-cloud.com" && aws_route53_record.this.type == "CNAME"
    error_message = "Names in Elastic's domain do not resolve in the VPC."
  }

  assert {
    condition     = aws_route53_record.this.records == toset(["vpce-0123456789abcdef0.vpce-svc.eu-central-1.vpce.amazonaws.com"]) && one(aws_route53_zone.this.vpc).vpc_id == "vpc-0123456789abcdef0"
    error_message = "They resolve to something else than the endpoint, or in another VPC."
  }

  assert {
    condition     = output.url == "https://slipway-d53192.es.vpce.eu-central-1.aws.elastic-cloud.com:443" && output.kibana_url == "https://slipway-d53192.kb.vpce.eu-central-1.aws.elastic-cloud.com:443"
    error_message = "The URLs are not as Elastic Cloud names the deployment's endpoints."
  }

  assert {
    condition     = output.endpoint_id == "vpce-0123456789abcdef0" && output.dns_name == "vpce-0123456789abcdef0.vpce-svc.eu-central-1.vpce.amazonaws.com"
    error_message = "ID and DNS name are not those of the endpoint."
  }
}

run "named_clients_reach_the_endpoint_by_tls_only" {
  command = plan

  assert {
    condition     = { for cidr, rule in aws_vpc_security_group_ingress_rule.this : cidr => [rule.cidr_ipv4, rule.ip_protocol, rule.from_port, rule.to_port] } == { "10.1.0.0/16" = ["10.1.0.0/16", "tcp", 443, 443] }
    error_message = "The endpoint is open to others, or on other ports."
  }

  assert {
    condition     = aws_vpc_endpoint.this.vpc_endpoint_type == "Interface" && !aws_vpc_endpoint.this.private_dns_enabled
    error_message = "The endpoint is no interface, or would ask for private names that Elastic's service does not have."
  }
}

run "another_region_is_named_by_service_and_domain" {
  command = plan

  variables {
    service_name = "com.amazonaws.vpce.eu-west-1.vpce-svc-01f2afe87944eb12b"
    domain       = "vpce.eu-west-1.aws.elastic-cloud.com"
  }

  assert {
    condition     = aws_vpc_endpoint.this.service_name == "com.amazonaws.vpce.eu-west-1.vpce-svc-01f2afe87944eb12b" && output.url == "https://slipway-d53192.es.vpce.eu-west-1.aws.elastic-cloud.com:443"
    error_message = "The named region was not taken."
  }
}

run "a_name_with_capitals_is_refused" {
  command = plan

  variables {
    name = "Slipway"
  }

  expect_failures = [var.name]
}

run "a_vpc_by_its_name_is_refused" {
  command = plan

  variables {
    vpc_id = "main"
  }

  expect_failures = [var.vpc_id]
}

run "no_subnet_is_refused" {
  command = plan

  variables {
    subnet_ids = []
  }

  expect_failures = [var.subnet_ids]
}

run "no_client_is_refused" {
  command = plan

  variables {
    client_cidrs = []
  }

  expect_failures = [var.client_cidrs]
}

run "the_whole_internet_as_client_is_refused" {
  command = plan

  variables {
    client_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.client_cidrs]
}

run "a_service_of_aws_is_refused" {
  command = plan

  variables {
    service_name = "com.amazonaws.eu-central-1.es"
  }

  expect_failures = [var.service_name]
}

run "a_public_domain_is_refused" {
  command = plan

  variables {
    domain = "eu-central-1.aws.cloud.es.io"
  }

  expect_failures = [var.domain]
}

run "a_domain_of_another_region_than_the_services_is_refused" {
  command = plan

  variables {
    domain = "vpce.eu-west-1.aws.elastic-cloud.com"
  }

  expect_failures = [var.domain]
}

run "a_url_in_place_of_the_alias_is_refused" {
  command = plan

  variables {
    deployment = "https://slipway.es.eu-central-1.aws.cloud.es.io"
  }

  expect_failures = [var.deployment]
}
