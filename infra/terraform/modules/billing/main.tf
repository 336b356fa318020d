data "aws_region" "current" {}

module "topic" {
  source = "../topic"

  name       = "${var.name}-billing"
  publishers = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
  emails     = var.emails
}

# What will be spent: AWS forecasts it from the days that are over.
resource "aws_budgets_budget" "this" {
  count = var.monthly_budget_usd == null ? 0 : 1

  name         = var.name
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"

  notification {
    notification_type         = "ACTUAL"
    comparison_operator       = "GREATER_THAN"
    threshold                 = 80
    threshold_type            = "PERCENTAGE"
    subscriber_sns_topic_arns = [module.topic.arn]
  }

  notification {
    notification_type         = "FORECASTED"
    comparison_operator       = "GREATER_THAN"
    threshold                 = 100
    threshold_type            = "PERCENTAGE"
    subscriber_sns_topic_arns = [module.topic.arn]
  }
}

# What has been spent since the month began
resource "aws_cloudwatch_metric_alarm" "charges" {
  count = var.charges_alarm_usd == null ? 0 : 1

  alarm_name          = "${var.name}-charges"
  alarm_description   = "This account's charges of the month are above ${var.charges_alarm_usd} USD."
  namespace           = "AWS/Billing"
  metric_name         = "EstimatedCharges"
  dimensions          = { Currency = "USD" }
  statistic           = "Maximum"
  period              = 21600 # as often as AWS computes it
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.charges_alarm_usd
  alarm_actions       = [module.topic.arn]

  lifecycle {
    precondition {
      condition     = data.aws_region.current.name == "us-east-1"
      error_message = "The provider is in ${data.aws_region.current.name}, and EstimatedCharges is a metric of us-east-1: give the module a provider of that region, by providers = { aws = aws.billing }."
    }
  }
}
