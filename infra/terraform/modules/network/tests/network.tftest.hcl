mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = {
      account_id = "123456789012"
    }
  }

  mock_data "aws_partition" {
    defaults = {
      partition = "aws"
    }
  }

  mock_data "aws_region" {
    defaults = {
      name = "eu-central-1"
    }
  }

  mock_resource "aws_kms_key" {
    defaults = {
      arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    }
  }

  mock_resource "aws_iam_role" {
    defaults = {
      arn = "arn:aws:iam::123456789012:role/slipway-test-flow-logs"
    }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = {
      arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/vpc/slipway-test"
    }
  }
}

variables {
  name               = "slipway-test"
  cidr               = "10.1.0.0/16"
  availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

run "the_range_is_divided_without_overlaps" {
  command = plan

  assert {
    condition     = [for zone in var.availability_zones : aws_subnet.private[zone].cidr_block] == ["10.1.0.0/19", "10.1.32.0/19", "10.1.64.0/19"]
    error_message = "The private subnets are not the first eighths."
  }

  assert {
    condition     = [for zone in var.availability_zones : aws_subnet.public[zone].cidr_block] == ["10.1.224.0/22", "10.1.228.0/22", "10.1.232.0/22"]
    error_message = "The public subnets are not in the last eighth."
  }
}

run "load_balancers_find_their_subnets" {
  command = plan

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.tags["kubernetes.io/role/internal-elb"] == "1"])
    error_message = "Internal load balancers find no subnet."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : subnet.tags["kubernetes.io/role/elb"] == "1" && !subnet.map_public_ip_on_launch])
    error_message = "Load balancers find no public subnet, or everything in it gets a public address."
  }
}

run "one_nat_gateway_serves_all_zones" {
  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1a"]
    error_message = "There is not one NAT gateway, in the first zone."
  }

  assert {
    condition     = length(aws_route.nat) == 3 && alltrue([for route in aws_route.nat : route.nat_gateway_id == aws_nat_gateway.this["eu-central-1a"].id])
    error_message = "A zone has no way out."
  }
}

run "each_zone_may_have_its_own_nat_gateway" {
  variables {
    nat = "each"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && alltrue([for zone, route in aws_route.nat : route.nat_gateway_id == aws_nat_gateway.this[zone].id])
    error_message = "A zone's way out leads through another zone."
  }
}

run "without_nat_private_subnets_have_no_way_out" {
  command = plan

  variables {
    nat = "none"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.nat) == 0 && length(aws_eip.nat) == 0
    error_message = "There is a NAT gateway, a route to one, or an address that nobody uses."
  }
}

run "endpoints_are_reached_by_https_from_the_vpc_only" {
  command = plan

  assert {
    condition = alltrue([
      aws_vpc_security_group_ingress_rule.endpoints.cidr_ipv4 == "10.1.0.0/16",
      aws_vpc_security_group_ingress_rule.endpoints.from_port == 443,
      aws_vpc_security_group_ingress_rule.endpoints.to_port == 443,
    ])
    error_message = "Others than clients in the VPC reach the endpoints, or by other ports."
  }

  assert {
    condition     = aws_vpc_endpoint.interface["ecr.api"].service_name == "com.amazonaws.eu-central-1.ecr.api" && alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled])
    error_message = "The services' own names do not lead to the endpoints."
  }
}

run "objects_are_written_to_this_account_only" {
  command = plan

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_vpc_endpoint.s3.policy).Statement :
      statement.Action == "s3:GetObject" || try(statement.Condition.StringEquals["aws:ResourceAccount"], "") == "123456789012"
    ])
    error_message = "Through the gateway, objects can be written to buckets of other accounts."
  }
}

run "all_connections_are_logged_and_the_log_is_encrypted" {
  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.log_destination == aws_cloudwatch_log_group.flow.arn
    error_message = "Not all connections are logged."
  }

  assert {
    condition     = aws_cloudwatch_log_group.flow.kms_key_id == aws_kms_key.logs.arn && aws_cloudwatch_log_group.flow.retention_in_days == 365
    error_message = "The log is not encrypted with the key of the module, or kept for another time than a year."
  }

  assert {
    condition     = jsondecode(aws_kms_key.logs.policy).Statement[1].Condition.ArnEquals["kms:EncryptionContext:aws:logs:arn"] == "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/vpc/slipway-test"
    error_message = "CloudWatch may use the key for other logs."
  }

  assert {
    condition     = length(aws_default_security_group.this.ingress) == 0 && length(aws_default_security_group.this.egress) == 0
    error_message = "The default security group allows something."
  }
}

run "a_peer_is_reached_from_every_zone_and_back" {
  variables {
    peer = {
      vpc_id          = "vpc-0123456789abcdef0"
      cidr            = "10.0.0.0/16"
      route_table_ids = ["rtb-0123456789abcdef0", "rtb-0123456789abcdef1"]
    }
  }

  assert {
    condition     = length(aws_route.to_peer) == 3 && alltrue([for route in aws_route.to_peer : route.destination_cidr_block == "10.0.0.0/16"])
    error_message = "A zone does not reach the peer."
  }

  assert {
    condition     = [for route in aws_route.from_peer : route.route_table_id] == ["rtb-0123456789abcdef0", "rtb-0123456789abcdef1"] && alltrue([for route in aws_route.from_peer : route.destination_cidr_block == "10.1.0.0/16"])
    error_message = "The peer does not reach this network."
  }
}

run "without_a_peer_there_is_no_route_to_one" {
  command = plan

  assert {
    condition     = length(aws_vpc_peering_connection.this) + length(aws_route.to_peer) + length(aws_route.from_peer) == 0
    error_message = "There is a connection with another network."
  }
}

run "six_zones_of_the_smallest_range_fit" {
  command = plan

  variables {
    cidr               = "10.1.16.0/20"
    availability_zones = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d", "us-east-1e", "us-east-1f"]
  }

  assert {
    condition     = length(distinct([for subnet in concat(values(aws_subnet.private), values(aws_subnet.public)) : subnet.cidr_block])) == 12
    error_message = "Two of twelve subnets have the same range."
  }
}

run "a_name_with_an_underscore_is_refused" {
  command = plan

  variables {
    name = "slipway_test"
  }

  expect_failures = [var.name]
}

run "a_range_that_is_too_small_is_refused" {
  command = plan

  variables {
    cidr = "10.1.0.0/24"
  }

  expect_failures = [var.cidr]
}

run "an_address_that_is_not_the_first_is_refused" {
  command = plan

  variables {
    cidr = "10.1.2.3/16"
  }

  expect_failures = [var.cidr]
}

run "something_else_than_a_range_is_refused" {
  command = plan

  variables {
    cidr = "ten"
  }

  expect_failures = [var.cidr]
}

run "one_zone_is_refused" {
  command = plan

  variables {
    availability_zones = ["eu-central-1a"]
  }

  expect_failures = [var.availability_zones]
}

run "a_zone_twice_is_refused" {
  command = plan

  variables {
    availability_zones = ["eu-central-1a", "eu-central-1a"]
  }

  expect_failures = [var.availability_zones]
}

run "a_region_in_place_of_a_zone_is_refused" {
  command = plan

  variables {
    availability_zones = ["eu-central-1", "eu-central-2"]
  }

  expect_failures = [var.availability_zones]
}

run "another_word_for_nat_is_refused" {
  command = plan

  variables {
    nat = "two"
  }

  expect_failures = [var.nat]
}

run "the_full_name_of_a_service_is_refused" {
  command = plan

  variables {
    interface_endpoints = ["com.amazonaws.eu-central-1.sts"]
  }

  expect_failures = [var.interface_endpoints]
}

run "a_paid_endpoint_of_s3_is_refused" {
  command = plan

  variables {
    interface_endpoints = ["s3"]
  }

  expect_failures = [var.interface_endpoints]
}

run "a_peer_that_overlaps_is_refused" {
  command = plan

  variables {
    peer = { vpc_id = "vpc-0123456789abcdef0", cidr = "10.0.0.0/8", route_table_ids = [] }
  }

  expect_failures = [var.peer]
}

run "a_peer_without_a_range_is_refused" {
  command = plan

  variables {
    peer = { vpc_id = "vpc-0123456789abcdef0", cidr = "", route_table_ids = [] }
  }

  expect_failures = [var.peer]
}

run "days_that_cloudwatch_does_not_offer_are_refused" {
  command = plan

  variables {
    flow_log_days = 100
  }

  expect_failures = [var.flow_log_days]
}
