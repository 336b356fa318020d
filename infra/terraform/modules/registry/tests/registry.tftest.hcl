mock_provider "aws" {}

variables {
  name         = "slipway"
  repositories = ["platform", "loans"]
}

run "images_are_immutable_scanned_and_encrypted" {
  command = plan

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE"])
    error_message = "A tag can be moved to another image."
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_scanning_configuration[0].scan_on_push])
    error_message = "Images are not scanned when they are pushed."
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.encryption_configuration[0].encryption_type == "KMS"])
    error_message = "Images are not encrypted by a KMS key."
  }
}

run "repositories_are_named_below_the_prefix" {
  command = plan

  assert {
    condition     = toset([for repository in aws_ecr_repository.this : repository.name]) == toset(["slipway/platform", "slipway/loans"])
    error_message = "The names are not NAME/REPOSITORY."
  }
}

run "the_newest_images_are_kept_and_signatures_are_not_counted" {
  command = plan

  variables {
    keep_images = 20
  }

  assert {
    condition     = one(jsondecode(aws_ecr_lifecycle_policy.this["loans"].policy).rules).selection.countNumber == 20
    error_message = "Not as many images are kept as keep_images says."
  }

  assert {
    condition     = one(jsondecode(aws_ecr_lifecycle_policy.this["loans"].policy).rules).selection.tagStatus == "tagged"
    error_message = "A signature, which has no tag, can expire before its image."
  }
}

run "outputs_have_the_names_of_the_repositories" {
  assert {
    condition     = keys(output.repository_urls) == ["loans", "platform"] && keys(output.repository_arns) == ["loans", "platform"]
    error_message = "The maps of URLs and ARNs do not have the repositories' names as keys."
  }

  assert {
    condition     = output.registry_id != ""
    error_message = "The account of the registry is not an output."
  }
}

run "a_name_with_capitals_is_refused" {
  command = plan

  variables {
    name = "Slipway"
  }

  expect_failures = [var.name]
}

run "no_repository_is_refused" {
  command = plan

  variables {
    repositories = []
  }

  expect_failures = [var.repositories]
}

run "a_repository_with_a_slash_at_its_end_is_refused" {
  command = plan

  variables {
    repositories = ["platform/"]
  }

  expect_failures = [var.repositories]
}

run "too_few_images_for_a_rollback_are_refused" {
  command = plan

  variables {
    keep_images = 1
  }

  expect_failures = [var.keep_images]
}

run "an_alias_in_place_of_a_key_is_refused" {
  command = plan

  variables {
    kms_key_arn = "alias/slipway"
  }

  expect_failures = [var.kms_key_arn]
}
