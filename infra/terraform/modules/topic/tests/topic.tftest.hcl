mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:slipway-test" }
  }
}

variables {
  name       = "slipway-test"
  publishers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]
  emails     = ["on-call@example.com"]
}

run "named_services_of_this_account_publish" {
  command = plan

  assert {
    condition = alltrue([
      for statement in [jsondecode(aws_sns_topic_policy.this.policy).Statement[0], jsondecode(aws_kms_key.this.policy).Statement[1]] :
      statement.Principal.Service == ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"] && statement.Condition.StringEquals == { "aws:SourceAccount" = "123456789012" }
    ])
    error_message = "A service may publish but not encrypt, or for another account."
  }

  assert {
    condition     = jsondecode(aws_sns_topic_policy.this.policy).Statement[0].Resource == "arn:aws:sns:eu-central-1:123456789012:slipway-test"
    error_message = "The policy is of another topic."
  }

  assert {
    condition     = jsondecode(aws_sns_topic_policy.this.policy).Statement[1].Effect == "Deny" && jsondecode(aws_sns_topic_policy.this.policy).Statement[1].Condition.Bool == { "aws:SecureTransport" = "false" }
    error_message = "Messages could be published without TLS."
  }
}

run "messages_are_encrypted_by_the_topics_own_key" {
  assert {
    condition     = aws_sns_topic.this.kms_master_key_id == output.kms_key_arn && aws_kms_key.this.enable_key_rotation
    error_message = "The topic is not encrypted by its key, or the key is not rotated."
  }

  assert {
    condition     = output.arn == "arn:aws:sns:eu-central-1:123456789012:slipway-test"
    error_message = "The output is not the topic."
  }
}

run "people_get_the_messages_by_email" {
  command = plan

  assert {
    condition     = { for address, subscription in aws_sns_topic_subscription.emails : address => subscription.protocol } == { "on-call@example.com" = "email" }
    error_message = "The address is not subscribed by e-mail."
  }
}

run "a_name_with_a_dot_is_refused" {
  command = plan

  variables {
    name = "slipway.alerts"
  }

  expect_failures = [var.name]
}

run "a_topic_that_nobody_publishes_to_is_refused" {
  command = plan

  variables {
    publishers = []
  }

  expect_failures = [var.publishers]
}

run "a_service_by_its_short_name_is_refused" {
  command = plan

  variables {
    publishers = ["cloudwatch"]
  }

  expect_failures = [var.publishers]
}

run "what_is_no_address_is_refused" {
  command = plan

  variables {
    emails = ["on-call"]
  }

  expect_failures = [var.emails]
}
