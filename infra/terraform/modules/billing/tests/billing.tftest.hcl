mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_region" {
    defaults = { name = "us-east-1" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:us-east-1:123456789012:slipway-test-billing" }
  }
}

variables {
  name               = "slipway-test"
  emails             = ["platform-team@example.com"]
  monthly_budget_usd = 1000
  charges_alarm_usd  = 1500
}

run "the_budget_tells_of_what_is_spent_and_of_what_is_forecast" {
  assert {
    condition     = aws_budgets_budget.this[0].limit_amount == "1000" && aws_budgets_budget.this[0].limit_unit == "USD" && aws_budgets_budget.this[0].time_unit == "MONTHLY"
    error_message = "The budget is not of 1000 US dollars a month."
  }

  assert {
    condition     = { for notification in aws_budgets_budget.this[0].notification : notification.notification_type => notification.threshold } == { ACTUAL = 80, FORECASTED = 100 }
    error_message = "There is no message at 80 % spent, or at 100 % forecast."
  }

  assert {
    condition     = alltrue([for notification in aws_budgets_budget.this[0].notification : notification.subscriber_sns_topic_arns == toset([output.topic_arn])])
    error_message = "The messages do not go to the topic."
  }
}

run "the_alarm_is_on_the_charges_of_the_month" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.charges[0].metric_name == "EstimatedCharges" && aws_cloudwatch_metric_alarm.charges[0].threshold == 1500 && aws_cloudwatch_metric_alarm.charges[0].dimensions == tomap({ Currency = "USD" })
    error_message = "The alarm is on something else than charges above 1500 US dollars."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.charges[0].alarm_actions == toset([output.topic_arn])
    error_message = "The alarm does not go to the topic."
  }
}

run "an_alarm_alone_is_possible" {
  command = plan

  variables {
    monthly_budget_usd = null
  }

  assert {
    condition     = length(aws_budgets_budget.this) == 0 && length(aws_cloudwatch_metric_alarm.charges) == 1
    error_message = "There is a budget that was not asked for, or no alarm."
  }
}

run "a_budget_alone_is_possible" {
  command = plan

  variables {
    charges_alarm_usd = null
  }

  assert {
    condition     = length(aws_budgets_budget.this) == 1 && length(aws_cloudwatch_metric_alarm.charges) == 0
    error_message = "There is an alarm that was not asked for, or no budget."
  }
}

run "an_alarm_in_a_region_without_the_metric_is_refused" {
  command = plan

  override_data {
    target = data.aws_region.current
    values = { name = "eu-central-1" }
  }

  expect_failures = [aws_cloudwatch_metric_alarm.charges]
}

run "neither_budget_nor_alarm_is_refused" {
  command = plan

  variables {
    monthly_budget_usd = null
    charges_alarm_usd  = null
  }

  expect_failures = [var.charges_alarm_usd]
}

run "a_name_with_capitals_is_refused" {
  command = plan

  variables {
    name = "Slipway"
  }

  expect_failures = [var.name]
}

run "nobody_to_tell_is_refused" {
  command = plan

  variables {
    emails = []
  }

  expect_failures = [var.emails]
}

run "a_budget_of_nothing_is_refused" {
  command = plan

  variables {
    monthly_budget_usd = 0
  }

  expect_failures = [var.monthly_budget_usd]
}

run "an_alarm_on_every_charge_is_refused" {
  command = plan

  variables {
    charges_alarm_usd = 0
  }

  expect_failures = [var.charges_alarm_usd]
}
