mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

run "the_bucket_is_named_after_the_account" {
  command = plan

  assert {
    condition     = aws_s3_bucket.state.bucket == "slipway-state-123456789012"
    error_message = "Names of buckets are unique in the world: without the account, somebody else may have it."
  }
}

run "versions_are_kept" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
    error_message = "A damaged state could not be restored."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.state.rule[0].noncurrent_version_expiration[0].newer_noncurrent_versions == 20 && aws_s3_bucket_lifecycle_configuration.state.rule[0].noncurrent_version_expiration[0].noncurrent_days == 90
    error_message = "Old versions are not kept for 90 days, and the newest 20 for longer."
  }
}

run "the_state_is_private_and_encrypted" {
  command = plan

  assert {
    condition     = aws_s3_bucket_public_access_block.state.block_public_acls && aws_s3_bucket_public_access_block.state.block_public_policy && aws_s3_bucket_public_access_block.state.ignore_public_acls && aws_s3_bucket_public_access_block.state.restrict_public_buckets
    error_message = "The state could be made public."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && aws_kms_key.state.enable_key_rotation
    error_message = "The state is not encrypted by a key of its own that is rotated."
  }
}

run "nothing_is_sent_without_tls" {
  command = plan

  override_resource {
    target          = aws_s3_bucket.state
    override_during = plan
    values          = { arn = "arn:aws:s3:::slipway-state-123456789012" }
  }

  override_resource {
    target          = aws_kms_key.state
    override_during = plan
    values          = { arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }

  assert {
    condition     = jsondecode(aws_s3_bucket_policy.state.policy).Statement[0].Effect == "Deny" && jsondecode(aws_s3_bucket_policy.state.policy).Statement[0].Condition == { Bool = { "aws:SecureTransport" = "false" } }
    error_message = "The bucket answers without TLS."
  }

  assert {
    condition     = jsondecode(aws_s3_bucket_policy.state.policy).Statement[0].Resource == ["arn:aws:s3:::slipway-state-123456789012", "arn:aws:s3:::slipway-state-123456789012/*"]
    error_message = "The rule is not of the bucket and all of its objects."
  }

  assert {
    condition     = strcontains(output.backend, "use_lockfile = true") && strcontains(output.backend, "bucket       = \"slipway-state-123456789012\"") && strcontains(output.backend, output.kms_key_arn)
    error_message = "The backend's configuration lacks the bucket, the key or the lock."
  }
}

run "a_name_with_capitals_is_refused" {
  command = plan

  variables {
    name = "Slipway"
  }

  expect_failures = [var.name]
}

run "an_availability_zone_in_place_of_a_region_is_refused" {
  command = plan

  variables {
    region = "eu-central-1a"
  }

  expect_failures = [var.region]
}
