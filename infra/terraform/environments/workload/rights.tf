# What each ServiceAccount of infra/kubernetes may do in AWS, by Pod Identity; the others have no rights.

locals {
  log_arn       = module.storage.bucket_arns["log"]
  artifacts_arn = local.shared.artifacts_arn

  # Two statements of a bucket: names are the bucket's, objects are below a prefix.
  bucket_rights = {
    for name, bucket in {
      log       = { arn = local.log_arn, prefix = "log", key = module.storage.kms_key_arn }
      artifacts = { arn = local.artifacts_arn, prefix = "artifacts", key = local.shared.artifacts_key_arn }
      } : name => {
      for access, actions in {
        add    = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
        change = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"]
        } : access => [
        { Effect = "Allow", Action = ["s3:ListBucket", "s3:GetBucketLocation"], Resource = bucket.arn },
        { Effect = "Allow", Action = actions, Resource = "${bucket.arn}/${bucket.prefix}/*" },
        { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = bucket.key },
      ]
    }
  }

  rights = {
    # The shipper adds events, and deletes nothing.
    serving = local.bucket_rights.log.add
    # Verdicts, audit and retention: old events are combined and removed.
    watch = local.bucket_rights.log.change
    # Trainings and monitors read events, and write verdicts and the audit; models reach S3 through MLflow.
    flow-run = local.bucket_rights.log.change
    # Models in S3, and the audit beside the log.
    mlflow = concat(local.bucket_rights.artifacts.change, local.bucket_rights.log.change)
  }
}
