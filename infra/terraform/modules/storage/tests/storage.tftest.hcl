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
}

variables {
  name = "slipway-test"
  buckets = {
    artifacts = {}
    log       = { expire_days = 400, noncurrent_days = 7, protected = false }
  }
}

run "buckets_are_named_by_key_and_account" {
  command = plan

  assert {
    condition     = output.bucket_names == { artifacts = "slipway-test-artifacts-123456789012", log = "slipway-test-log-123456789012" }
    error_message = "The names are not NAME-KEY-ACCOUNT."
  }
}

run "no_bucket_is_public" {
  command = plan

  assert {
    condition = alltrue([
      for block in aws_s3_bucket_public_access_block.this :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ])
    error_message = "A bucket may become public."
  }

  assert {
    condition     = length(aws_s3_bucket_public_access_block.this) == length(aws_s3_bucket.this)
    error_message = "A bucket has no block of public access."
  }
}

run "objects_are_versioned_and_encrypted_with_the_modules_key" {
  assert {
    condition     = alltrue([for versioning in aws_s3_bucket_versioning.this : versioning.versioning_configuration[0].status == "Enabled"])
    error_message = "A bucket keeps no versions."
  }

  assert {
    condition = alltrue([
      for key, encryption in aws_s3_bucket_server_side_encryption_configuration.this :
      one(one(encryption.rule).apply_server_side_encryption_by_default).kms_master_key_id == output.kms_key_arn
      if key != "access-logs"
    ])
    error_message = "A bucket is not encrypted with the key of the module."
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key does not rotate."
  }
}

run "requests_without_tls_are_denied" {
  assert {
    condition = alltrue([
      for key, policy in aws_s3_bucket_policy.this : anytrue([
        for statement in jsondecode(policy.policy).Statement :
        statement.Effect == "Deny" && try(statement.Principal.AWS, "") == "*" && statement.Action == "s3:*"
        && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"
        && toset(flatten([statement.Resource])) == toset([aws_s3_bucket.this[key].arn, "${aws_s3_bucket.this[key].arn}/*"])
      ])
    ])
    error_message = "A bucket answers requests without TLS."
  }

  assert {
    condition = alltrue([
      for policy in aws_s3_bucket_policy.this : anytrue([
        for statement in jsondecode(policy.policy).Statement :
        statement.Effect == "Deny" && try(statement.Condition.NumericLessThan["s3:TlsVersion"], "") == "1.2"
      ])
    ])
    error_message = "A bucket answers requests with a TLS older than 1.2."
  }
}

run "only_objects_with_a_time_expire" {
  command = plan

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this["artifacts"].rule : rule.id] == ["earlier-versions"]
    error_message = "Objects without expire_days expire."
  }

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this["log"].rule : rule.id] == ["earlier-versions", "expire"]
    error_message = "Objects with expire_days do not expire."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this["log"].rule[1].expiration[0].days == 400
    error_message = "Objects do not expire after expire_days."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this["log"].rule[0].noncurrent_version_expiration[0].noncurrent_days == 7
    error_message = "Earlier versions do not expire after noncurrent_days."
  }
}

run "a_protected_bucket_is_not_emptied_by_destroy" {
  command = plan

  assert {
    condition     = !aws_s3_bucket.this["artifacts"].force_destroy && aws_s3_bucket.this["log"].force_destroy
    error_message = "force_destroy is not the opposite of protected."
  }

  assert {
    condition     = !aws_s3_bucket.this["access-logs"].force_destroy
    error_message = "The log of a protected bucket's requests is not protected."
  }
}

run "requests_to_every_bucket_are_logged" {
  assert {
    condition     = alltrue([for key in ["artifacts", "log"] : aws_s3_bucket_logging.this[key].target_bucket == aws_s3_bucket.this["access-logs"].id])
    error_message = "Requests to a bucket are not logged."
  }

  assert {
    condition     = one([for statement in jsondecode(aws_s3_bucket_policy.this["access-logs"].policy).Statement : statement if statement.Effect == "Allow"]).Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "Not only S3 on behalf of this account writes access logs."
  }
}

run "a_long_name_is_refused" {
  command = plan

  variables {
    name = "a-name-with-more-than-24-characters"
  }

  expect_failures = [var.name]
}

run "no_bucket_is_refused" {
  command = plan

  variables {
    buckets = {}
  }

  expect_failures = [var.buckets]
}

run "a_key_with_an_underscore_is_refused" {
  command = plan

  variables {
    buckets = { prediction_log = {} }
  }

  expect_failures = [var.buckets]
}

run "the_key_of_access_logs_is_reserved" {
  command = plan

  variables {
    buckets = { access-logs = {} }
  }

  expect_failures = [var.buckets]
}

run "objects_that_expire_at_once_are_refused" {
  command = plan

  variables {
    buckets = { log = { expire_days = 0 } }
  }

  expect_failures = [var.buckets]
}

run "versions_that_expire_at_once_are_refused" {
  command = plan

  variables {
    buckets = { log = { noncurrent_days = 0 } }
  }

  expect_failures = [var.buckets]
}

run "access_logs_that_expire_at_once_are_refused" {
  command = plan

  variables {
    access_log_days = 0
  }

  expect_failures = [var.access_log_days]
}
