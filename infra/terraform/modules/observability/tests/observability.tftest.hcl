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
    defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:slipway-test-alerts" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:mock" }
  }

  mock_resource "aws_prometheus_workspace" {
    defaults = {
      id                  = "ws-00000000"
      arn                 = "arn:aws:aps:eu-central-1:123456789012:workspace/ws-00000000"
      prometheus_endpoint = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-00000000/"
    }
  }

  mock_resource "aws_grafana_workspace" {
    defaults = { endpoint = "g-00000000.grafana-workspace.eu-central-1.amazonaws.com" }
  }
}

variables {
  name         = "slipway-test"
  alert_emails = ["on-call@example.com"]
  rules        = { thresholds = "groups: []" }
}

run "the_rules_of_the_repository_are_taken_as_they_are" {
  command = plan

  variables {
    rules = {
      for file in fileset("../../../../monitoring/prometheus/rules", "*.yml") :
      trimsuffix(file, ".yml") => file("../../../../monitoring/prometheus/rules/${file}")
    }
  }

  assert {
    condition     = length(aws_prometheus_rule_group_namespace.this) == length(var.rules) && alltrue([for name, namespace in aws_prometheus_rule_group_namespace.this : namespace.name == name && namespace.data == var.rules[name]])
    error_message = "A rule file is missing, or changed."
  }

  assert {
    condition     = length(setintersection(keys(var.rules), ["serving", "thresholds"])) == 2
    error_message = "The repository's rules were not found."
  }
}

run "routes_stay_and_people_get_pages_and_tickets" {
  variables {
    alertmanager = file("../../../../monitoring/prometheus/alertmanager.yml")
  }

  assert {
    condition = alltrue([
      for definition in aws_prometheus_alert_manager_definition.this : alltrue([
        for key in ["route", "inhibit_rules"] : jsonencode(yamldecode(yamldecode(definition.definition).alertmanager_config)[key]) == jsonencode(yamldecode(var.alertmanager)[key])
      ])
    ]) && length(aws_prometheus_alert_manager_definition.this) == 1
    error_message = "Routes or inhibitions are not those of the file."
  }

  assert {
    condition = {
      for receiver in yamldecode(yamldecode(aws_prometheus_alert_manager_definition.this[0].definition).alertmanager_config).receivers :
      receiver.name => try(receiver.sns_configs[0].topic_arn, "nobody")
      } == {
      pages      = output.topic_arn
      tickets    = output.topic_arn
      retraining = "nobody"
      watchdog   = "nobody"
    }
    error_message = "Pages and tickets go to the topic; what is meant for programs does not."
  }

  assert {
    condition     = yamldecode(yamldecode(aws_prometheus_alert_manager_definition.this[0].definition).alertmanager_config).receivers[0].sns_configs[0].sigv4.region == "eu-central-1"
    error_message = "Without the region, Prometheus of AWS refuses the receiver."
  }
}

run "without_alertmanager_nothing_is_sent" {
  command = plan

  assert {
    condition     = length(aws_prometheus_alert_manager_definition.this) == 0
    error_message = "There is a definition that was not asked for."
  }
}

run "failing_rules_are_logged_encrypted_and_for_a_year" {
  assert {
    condition     = aws_prometheus_workspace.this.logging_configuration[0].log_group_arn == "arn:aws:logs:eu-central-1:123456789012:log-group:mock:*"
    error_message = "The workspace does not log, or to an ARN that it refuses."
  }

  assert {
    condition     = aws_cloudwatch_log_group.prometheus.retention_in_days == 365 && aws_cloudwatch_log_group.prometheus.kms_key_id == aws_kms_key.logs.arn
    error_message = "The logs are not encrypted by the module's key, or not kept for a year."
  }

  assert {
    condition     = jsondecode(aws_kms_key.logs.policy).Statement[1].Condition.ArnEquals["kms:EncryptionContext:aws:logs:arn"] == "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/vendedlogs/prometheus/slipway-test" && startswith(aws_cloudwatch_log_group.prometheus.name, "/aws/vendedlogs/")
    error_message = "CloudWatch may not use the key for exactly this log group."
  }
}

run "a_prometheus_in_the_cluster_may_write_to_this_workspace" {
  assert {
    condition     = output.remote_write_url == "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-00000000/api/v1/remote_write"
    error_message = "The URL to write to is wrong."
  }

  assert {
    condition     = jsondecode(output.remote_write_policy).Statement == [{ Effect = "Allow", Action = "aps:RemoteWrite", Resource = "arn:aws:aps:eu-central-1:123456789012:workspace/ws-00000000" }]
    error_message = "The policy is of more than writing to this workspace."
  }

  assert {
    condition     = output.workspace_id == "ws-00000000" && output.workspace_arn == "arn:aws:aps:eu-central-1:123456789012:workspace/ws-00000000" && output.prometheus_endpoint == "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-00000000/"
    error_message = "The outputs are not those of the workspace."
  }

  assert {
    condition     = output.grafana_endpoint == null
    error_message = "There is a Grafana that was not asked for."
  }
}

run "grafana_reads_this_workspace_only" {
  variables {
    grafana = true
  }

  assert {
    condition     = aws_grafana_workspace.this[0].permission_type == "CUSTOMER_MANAGED" && aws_grafana_workspace.this[0].role_arn == aws_iam_role.grafana[0].arn && aws_grafana_workspace.this[0].authentication_providers == tolist(["AWS_SSO"])
    error_message = "Grafana has a role of its own making, or another login."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.grafana[0].policy).Statement[0].Resource == output.workspace_arn && !anytrue([for action in jsondecode(aws_iam_role_policy.grafana[0].policy).Statement[0].Action : can(regex("Write|Put|Create|Delete|\\*", action))])
    error_message = "Grafana may do more than query this workspace."
  }

  assert {
    condition     = output.grafana_endpoint == "g-00000000.grafana-workspace.eu-central-1.amazonaws.com"
    error_message = "The output is not Grafana's host name."
  }
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
    alert_emails = []
  }

  expect_failures = [var.alert_emails]
}

run "no_rules_are_refused" {
  command = plan

  variables {
    rules = {}
  }

  expect_failures = [var.rules]
}

run "a_file_without_groups_is_refused" {
  command = plan

  variables {
    rules = { serving = "rules: []" }
  }

  expect_failures = [var.rules]
}

run "a_name_of_rules_with_a_slash_is_refused" {
  command = plan

  variables {
    rules = { "rules/serving" = "groups: []" }
  }

  expect_failures = [var.rules]
}

run "a_configuration_without_a_route_is_refused" {
  command = plan

  variables {
    alertmanager = "receivers: []"
  }

  expect_failures = [var.alertmanager]
}

run "a_login_that_grafana_does_not_have_is_refused" {
  command = plan

  variables {
    grafana_authentication = ["LDAP"]
  }

  expect_failures = [var.grafana_authentication]
}

run "a_receiver_that_is_not_in_the_file_is_refused" {
  command = plan

  variables {
    alertmanager       = file("../../../../monitoring/prometheus/alertmanager.yml")
    notified_receivers = ["pager"]
  }

  expect_failures = [var.notified_receivers]
}
