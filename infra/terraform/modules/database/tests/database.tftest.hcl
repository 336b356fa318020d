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
      arn = "arn:aws:iam::123456789012:role/slipway-test-database-monitoring"
    }
  }
}

variables {
  name         = "slipway-test"
  vpc_id       = "vpc-0123456789abcdef0"
  subnet_ids   = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  client_cidrs = ["10.0.0.0/16", "10.1.0.0/16"]
}

run "it_is_encrypted_and_private" {
  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == output.kms_key_arn
    error_message = "Storage is not encrypted with the key of the module."
  }

  assert {
    condition     = aws_db_instance.this.performance_insights_kms_key_id == output.kms_key_arn
    error_message = "Statements in Performance Insights are not encrypted with the key of the module."
  }

  assert {
    condition     = !aws_db_instance.this.publicly_accessible
    error_message = "It has a public address."
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key does not rotate."
  }
}

run "the_master_password_is_managed" {
  command = plan

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "The master password is in the state."
  }
}

run "connections_without_tls_are_refused" {
  command = plan

  assert {
    condition     = one([for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "rds.force_ssl"]) == "1"
    error_message = "PostgreSQL accepts connections without TLS."
  }
}

run "only_clients_connect" {
  command = plan

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.clients) == ["10.0.0.0/16", "10.1.0.0/16"]
    error_message = "The rules are not those of the clients."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.clients : rule.from_port == 5432 && rule.to_port == 5432 && rule.ip_protocol == "tcp"])
    error_message = "A rule allows more than PostgreSQL's port."
  }
}

run "logs_are_encrypted_and_end_after_a_year" {
  assert {
    condition     = toset([for group in aws_cloudwatch_log_group.this : group.name]) == toset(["/aws/rds/instance/slipway-test/postgresql", "/aws/rds/instance/slipway-test/upgrade"])
    error_message = "The groups do not have the names that RDS writes to."
  }

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.kms_key_id == output.kms_key_arn && group.retention_in_days == 365])
    error_message = "A log is not encrypted with the key of the module, or is kept for another time than a year."
  }

  assert {
    condition     = one([for statement in jsondecode(aws_kms_key.this.policy).Statement : statement if statement.Sid == "AllowCloudWatchLogs"]).Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"] == "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/rds/instance/slipway-test/*"
    error_message = "CloudWatch may use the key for other logs than those of this database."
  }
}

run "by_default_it_stays_and_can_be_restored" {
  command = plan

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && !aws_db_instance.this.delete_automated_backups
    error_message = "It can be deleted, or leaves nothing when it is."
  }

  assert {
    condition     = aws_db_instance.this.final_snapshot_identifier == "slipway-test-final"
    error_message = "The last snapshot has no name."
  }

  assert {
    condition     = aws_db_instance.this.multi_az && aws_db_instance.this.backup_retention_period == 14
    error_message = "By default there is no standby, or backups are not kept for 14 days."
  }
}

run "one_for_trials_leaves_nothing" {
  command = plan

  variables {
    protected    = false
    keep_backups = false
    multi_az     = false
    backup_days  = 1
  }

  assert {
    condition     = !aws_db_instance.this.deletion_protection && aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.delete_automated_backups
    error_message = "It cannot be destroyed as a whole."
  }

  assert {
    condition     = !aws_db_instance.this.multi_az && aws_db_instance.this.backup_retention_period == 1
    error_message = "multi_az or backup_days changes nothing."
  }
}

run "parameters_follow_the_version" {
  command = plan

  variables {
    postgres_version = "16"
  }

  assert {
    condition     = aws_db_parameter_group.this.family == "postgres16" && aws_db_instance.this.engine_version == "16"
    error_message = "The parameter group is that of another version."
  }
}

run "a_name_with_two_hyphens_is_refused" {
  command = plan

  variables {
    name = "slipway--test"
  }

  expect_failures = [var.name]
}

run "a_name_in_place_of_the_id_of_a_vpc_is_refused" {
  command = plan

  variables {
    vpc_id = "slipway"
  }

  expect_failures = [var.vpc_id]
}

run "one_subnet_is_refused" {
  command = plan

  variables {
    subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef0"]
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

run "an_address_in_place_of_a_range_is_refused" {
  command = plan

  variables {
    client_cidrs = ["10.0.0.1"]
  }

  expect_failures = [var.client_cidrs]
}

run "the_whole_internet_is_refused" {
  command = plan

  variables {
    client_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.client_cidrs]
}

run "an_unknown_version_is_refused" {
  command = plan

  variables {
    postgres_version = "17.4"
  }

  expect_failures = [var.postgres_version]
}

run "a_class_of_ec2_is_refused" {
  command = plan

  variables {
    instance_class = "t4g.medium"
  }

  expect_failures = [var.instance_class]
}

run "storage_that_rds_does_not_offer_is_refused" {
  command = plan

  variables {
    storage_gb = 10
  }

  expect_failures = [var.storage_gb]
}

run "storage_that_cannot_grow_is_refused" {
  command = plan

  variables {
    max_storage_gb = 50
  }

  expect_failures = [var.max_storage_gb]
}

run "no_backups_are_refused" {
  command = plan

  variables {
    backup_days = 0
  }

  expect_failures = [var.backup_days]
}
