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

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }

  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/mock" }
  }

  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  }
}

variables {
  environment      = "staging"
  repository       = "example/slipway"
  provider_arn     = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
  state_bucket_arn = "arn:aws:s3:::slipway-state-123456789012"
  state_key_arn    = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  cluster_arn      = "arn:aws:eks:eu-central-1:123456789012:cluster/slipway-staging"

  push_repository_arns = ["arn:aws:ecr:eu-central-1:123456789012:repository/slipway/platform"]
  pull_repository_arns = ["arn:aws:ecr:eu-central-1:123456789012:repository/slipway/platform"]
}

run "a_role_is_for_exact_subjects_of_the_repository" {
  command = plan

  assert {
    condition = {
      for name, role in aws_iam_role.this : name => jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"]
      } == {
      plan   = ["repo:example/slipway:pull_request", "repo:example/slipway:ref:refs/heads/main"]
      apply  = ["repo:example/slipway:environment:staging-infrastructure"]
      images = ["repo:example/slipway:ref:refs/heads/main"]
      deploy = ["repo:example/slipway:environment:staging"]
    }
    error_message = "A role is for other jobs than those it is made for."
  }

  assert {
    condition = alltrue([
      for role in aws_iam_role.this : jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
    ])
    error_message = "A token that was made for another audience would do."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.this : keys(jsondecode(role.assume_role_policy).Statement[0].Condition) == ["StringEquals"] && !strcontains(role.assume_role_policy, "*")])
    error_message = "A condition compares by patterns."
  }

  assert {
    condition     = alltrue([for name, role in aws_iam_role.this : role.name == "slipway-staging-${name}" && role.max_session_duration == 3600])
    error_message = "The roles are not NAME-ENVIRONMENT-ROLE, for an hour."
  }
}

run "a_plan_writes_the_lock_and_nothing_else" {
  command = plan

  assert {
    condition     = endswith(aws_iam_role_policy_attachment.plan.policy_arn, ":policy/ReadOnlyAccess")
    error_message = "The role that plans does more than read."
  }

  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement : statement.Resource
      if statement.Effect == "Allow" && length(setintersection(flatten([statement.Action]), ["s3:PutObject", "s3:DeleteObject"])) > 0
    ] == ["arn:aws:s3:::slipway-state-123456789012/staging/terraform.tfstate.tflock"]
    error_message = "A pull request could change the state."
  }

  assert {
    condition = [
      for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement : [statement.Action, statement.NotResource] if statement.Sid == "NoDataButThisState"
    ] == [["s3:GetObject*", "arn:aws:s3:::slipway-state-123456789012/staging/*"]]
    error_message = "A pull request could read objects that are not this environment's state."
  }

  assert {
    condition     = anytrue([for statement in jsondecode(aws_iam_role_policy.plan.policy).Statement : statement.Effect == "Deny" && contains(flatten([statement.Action]), "secretsmanager:GetSecretValue")])
    error_message = "A pull request could read secrets."
  }
}

run "what_applies_cannot_give_itself_more" {
  command = plan

  assert {
    condition     = aws_iam_policy.boundary.name == "slipway-staging-apply-boundary" && length(aws_iam_policy.boundary.policy) < 6144
    error_message = "The boundary has another name than the one it protects, or more characters than IAM takes."
  }

  assert {
    condition = toset(one([
      for statement in jsondecode(aws_iam_policy.boundary.policy).Statement : statement.Resource if statement.Sid == "NotTheRolesThatChangeInfrastructure"
      ])) == toset([
      "arn:aws:iam::123456789012:role/slipway-staging-apply", "arn:aws:iam::123456789012:role/slipway-staging-plan",
      "arn:aws:iam::123456789012:policy/slipway-staging-apply-boundary",
      "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
    ])
    error_message = "The role could change itself, its boundary, or who gets it."
  }

  assert {
    condition = toset(one([
      for statement in jsondecode(aws_iam_role_policy.apply.policy).Statement : statement.Resource if statement.Sid == "ManageRolesOfThisEnvironment"
    ])) == toset(["arn:aws:iam::123456789012:role/slipway-staging-*", "arn:aws:iam::123456789012:policy/slipway-staging-*"])
    error_message = "The role could change roles of another environment."
  }

  assert {
    condition     = !anytrue([for statement in jsondecode(aws_iam_policy.boundary.policy).Statement : contains(flatten([statement.Action]), "eks:DeleteCluster")])
    error_message = "An environment that is not protected cannot be taken down."
  }
}

run "only_what_applies_has_the_boundary" {
  assert {
    condition     = [for name, role in aws_iam_role.this : name if role.permissions_boundary == "arn:aws:iam::123456789012:policy/mock"] == ["apply"]
    error_message = "The role that applies has no boundary, or another one has it."
  }
}

run "a_protected_environment_keeps_what_cannot_be_made_again" {
  command = plan

  variables {
    protected = true
  }

  assert {
    condition = length(setsubtract(
      ["eks:DeleteCluster", "rds:DeleteDBInstance", "s3:DeleteBucket", "kms:ScheduleKeyDeletion", "ecr:DeleteRepository"],
      one([for statement in jsondecode(aws_iam_policy.boundary.policy).Statement : statement.Action if statement.Sid == "WhatCannotBeMadeAgainStays"]),
    )) == 0
    error_message = "The role that applies could delete the cluster, the database, a bucket, a repository or a key."
  }

  assert {
    condition     = length(aws_iam_policy.boundary.policy) < 6144
    error_message = "The boundary has more characters than IAM takes."
  }
}

run "images_are_pushed_to_named_repositories_only" {
  command = plan

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.images[0].policy).Statement :
      statement.Sid == "LogIn" ? statement.Action == "ecr:GetAuthorizationToken" : !contains(flatten([statement.Resource]), "*")
    ])
    error_message = "The role pushes to more than the named repositories."
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.images[0].policy, "Delete")
    error_message = "The role that pushes could delete images."
  }
}

run "a_deployment_finds_one_cluster_and_reads_images" {
  command = plan

  assert {
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.deploy[0].policy).Statement : statement.Action])) == toset([
      "eks:DescribeCluster", "ssm:GetParameter", "ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer",
    ])
    error_message = "The role that deploys does more, or less, than find its cluster, read outputs, and verify images."
  }

  assert {
    condition = {
      for statement in jsondecode(aws_iam_role_policy.deploy[0].policy).Statement : statement.Sid => statement.Resource if contains(["FindCluster", "ReadOutputs"], statement.Sid)
      } == {
      FindCluster = "arn:aws:eks:eu-central-1:123456789012:cluster/slipway-staging"
      ReadOutputs = "arn:aws:ssm:eu-central-1:123456789012:parameter/slipway/staging"
    }
    error_message = "The role finds another cluster, or reads other outputs, than this environment's."
  }
}

run "without_repositories_to_pull_a_deployment_logs_in_nowhere" {
  command = plan

  variables {
    pull_repository_arns = []
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.deploy[0].policy, "ecr:")
    error_message = "A policy for no repository is refused by IAM."
  }
}

run "without_cluster_and_repositories_there_are_two_roles" {
  variables {
    cluster_arn          = null
    push_repository_arns = []
  }

  assert {
    condition     = keys(aws_iam_role.this) == ["apply", "plan"] && output.images_role_arn == null && output.deploy_role_arn == null
    error_message = "There is a role for which there is no use."
  }
}

run "the_first_environment_of_an_account_makes_the_provider" {
  variables {
    provider_arn = null
  }

  assert {
    condition     = aws_iam_openid_connect_provider.github[0].url == "https://token.actions.githubusercontent.com" && aws_iam_openid_connect_provider.github[0].client_id_list == toset(["sts.amazonaws.com"])
    error_message = "The provider is not GitHub's, for tokens made for STS."
  }

  assert {
    condition     = output.provider_arn == "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    error_message = "The provider that was made is not the output."
  }
}

run "a_provider_that_exists_is_used" {
  command = plan

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0 && jsondecode(aws_iam_role.this["plan"].assume_role_policy).Statement[0].Principal.Federated == var.provider_arn
    error_message = "A second provider would be made, which an account cannot have."
  }
}

run "a_name_with_capitals_is_refused" {
  command = plan

  variables {
    name = "Slipway"
  }

  expect_failures = [var.name]
}

run "an_environment_with_a_wildcard_is_refused" {
  command = plan

  variables {
    environment = "*"
  }

  expect_failures = [var.environment]
}

run "any_repository_of_an_owner_is_refused" {
  command = plan

  variables {
    repository = "example/*"
  }

  expect_failures = [var.repository]
}

run "a_repository_by_its_url_is_refused" {
  command = plan

  variables {
    repository = "https://github.com/example/slipway"
  }

  expect_failures = [var.repository]
}

run "a_provider_that_is_not_githubs_is_refused" {
  command = plan

  variables {
    provider_arn = "arn:aws:iam::123456789012:oidc-provider/gitlab.com"
  }

  expect_failures = [var.provider_arn]
}

run "the_name_of_the_bucket_in_place_of_its_arn_is_refused" {
  command = plan

  variables {
    state_bucket_arn = "slipway-state"
  }

  expect_failures = [var.state_bucket_arn]
}

run "an_alias_in_place_of_the_key_is_refused" {
  command = plan

  variables {
    state_key_arn = "alias/slipway-state"
  }

  expect_failures = [var.state_key_arn]
}

run "pushing_to_every_repository_is_refused" {
  command = plan

  variables {
    push_repository_arns = ["arn:aws:ecr:eu-central-1:123456789012:repository/*"]
  }

  expect_failures = [var.push_repository_arns]
}

run "pulling_from_every_repository_is_refused" {
  command = plan

  variables {
    pull_repository_arns = ["*"]
  }

  expect_failures = [var.pull_repository_arns]
}

run "every_cluster_is_refused" {
  command = plan

  variables {
    cluster_arn = "arn:aws:eks:eu-central-1:123456789012:cluster/*"
  }

  expect_failures = [var.cluster_arn]
}
