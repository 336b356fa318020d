data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  prefix    = "${var.name}-${var.environment}"
  issuer    = "token.actions.githubusercontent.com"

  iam        = "arn:${local.partition}:iam::${local.account}"
  aws_policy = "arn:${local.partition}:iam::aws:policy"
  boundary   = "${local.iam}:policy/${local.prefix}-apply-boundary"
  parameter  = "arn:${local.partition}:ssm:${data.aws_region.current.name}:${local.account}:parameter/${var.name}/${var.environment}"
  state      = "${var.state_bucket_arn}/${var.environment}"

  # Subjects as GitHub writes them into its tokens, compared as they are: a job has one of them, never two.
  main = "repo:${var.repository}:ref:refs/heads/main"
  roles = merge(
    {
      plan  = ["repo:${var.repository}:pull_request", local.main]
      apply = ["repo:${var.repository}:environment:${var.environment}-infrastructure"]
    },
    length(var.push_repository_arns) > 0 ? { images = [local.main] } : {},
    var.cluster_arn != null ? { deploy = ["repo:${var.repository}:environment:${var.environment}"] } : {},
  )
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.provider_arn == null ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  provider_arn = var.provider_arn == null ? aws_iam_openid_connect_provider.github[0].arn : var.provider_arn
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "${local.prefix}-${each.key}"
  description          = "GitHub Actions of ${var.repository}: ${each.key}"
  max_session_duration = 3600
  permissions_boundary = each.key == "apply" ? aws_iam_policy.boundary.arn : null

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = local.provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = "sts.amazonaws.com"
          "${local.issuer}:sub" = each.value
        }
      }
    }]
  })
}

# plan: reads how everything is set, and no data

resource "aws_iam_role_policy_attachment" "plan" {
  role       = aws_iam_role.this["plan"].name
  policy_arn = "${local.aws_policy}/ReadOnlyAccess"
}

resource "aws_iam_role_policy" "plan" {
  name = "state"
  role = aws_iam_role.this["plan"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadState"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "${local.state}/*"
      },
      {
        Sid      = "FindState"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = var.state_bucket_arn
      },
      {
        Sid      = "LockState"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:DeleteObject"]
        Resource = "${local.state}/terraform.tfstate.tflock"
      },
      {
        Sid      = "DecryptStateAndEncryptLock"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = var.state_key_arn
      },
      {
        # ReadOnlyAccess reads every object and every message; a pull request has no use for them.
        Sid         = "NoDataButThisState"
        Effect      = "Deny"
        Action      = "s3:GetObject*"
        NotResource = "${local.state}/*"
      },
      {
        Sid    = "NoSecretsAndNoRecords"
        Effect = "Deny"
        Action = [
          "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan",
          "logs:FilterLogEvents", "logs:GetLogEvents", "logs:GetLogRecord", "logs:GetQueryResults", "logs:StartQuery",
          "secretsmanager:GetSecretValue", "sqs:ReceiveMessage",
        ]
        Resource = "*"
      },
    ]
  })
}

# apply: changes the environment, within a boundary that it cannot move

resource "aws_iam_role_policy_attachment" "apply" {
  role       = aws_iam_role.this["apply"].name
  policy_arn = "${local.aws_policy}/PowerUserAccess" # everything but IAM
}

resource "aws_iam_role_policy" "apply" {
  name = "roles-of-the-environment"
  role = aws_iam_role.this["apply"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "ReadRolesAndWhatTheyHave"
        Effect = "Allow"
        Action = ["iam:Get*", "iam:List*"]
        Resource = [
          "${local.iam}:role/${local.prefix}-*", "${local.iam}:role/aws-service-role/*",
          "${local.iam}:policy/${local.prefix}-*", "${local.aws_policy}/*", "${local.iam}:oidc-provider/${local.issuer}",
        ]
      },
      {
        Sid    = "ManageRolesOfThisEnvironment"
        Effect = "Allow"
        Action = [
          "iam:AttachRolePolicy", "iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:CreateRole", "iam:DeletePolicy",
          "iam:DeletePolicyVersion", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:PassRole",
          "iam:PutRolePolicy", "iam:TagPolicy", "iam:TagRole", "iam:UntagPolicy", "iam:UntagRole",
          "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription",
        ]
        Resource = ["${local.iam}:role/${local.prefix}-*", "${local.iam}:policy/${local.prefix}-*"]
      },
      {
        Sid      = "RolesOfServices"
        Effect   = "Allow"
        Action   = "iam:CreateServiceLinkedRole"
        Resource = "${local.iam}:role/aws-service-role/*"
      },
    ]
  })
}

resource "aws_iam_policy" "boundary" {
  name        = basename(local.boundary)
  description = "What the role ${local.prefix}-apply may never do, whatever its policies say"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "WhatItsPoliciesAllow"
          Effect   = "Allow"
          Action   = "*"
          Resource = "*"
        },
        {
          # Whoever could change them could give itself everything; a person with more rights changes them.
          Sid    = "NotTheRolesThatChangeInfrastructure"
          Effect = "Deny"
          Action = ["iam:Add*", "iam:Attach*", "iam:Create*", "iam:Delete*", "iam:Detach*", "iam:Put*", "iam:Remove*", "iam:Set*", "iam:Update*"]
          Resource = [
            "${local.iam}:role/${local.prefix}-apply", "${local.iam}:role/${local.prefix}-plan", local.boundary,
            "${local.iam}:oidc-provider/${local.issuer}",
          ]
        },
        {
          Sid      = "NoUsersAndNoAccounts"
          Effect   = "Deny"
          Action   = ["account:*", "iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:CreateUser", "organizations:*"]
          Resource = "*"
        },
        {
          Sid      = "NoSecretValues"
          Effect   = "Deny"
          Action   = "secretsmanager:GetSecretValue"
          Resource = "*"
        },
        {
          # Objects are data: Terraform manages buckets, and one object, its state.
          Sid         = "NoDataButThisState"
          Effect      = "Deny"
          Action      = ["s3:DeleteObject*", "s3:GetObject*", "s3:PutObject*"]
          NotResource = "${local.state}/*"
        },
        {
          Sid    = "StateStays"
          Effect = "Deny"
          Action = [
            "s3:DeleteBucket*", "s3:DeleteObjectVersion", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock",
            "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration",
          ]
          Resource = [var.state_bucket_arn, "${var.state_bucket_arn}/*"]
        },
        {
          Sid      = "KeyOfTheStateStays"
          Effect   = "Deny"
          Action   = ["kms:DisableKey", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"]
          Resource = var.state_key_arn
        },
      ],
      var.protected ? [
        {
          Sid    = "WhatCannotBeMadeAgainStays"
          Effect = "Deny"
          Action = [
            "ecr:DeleteRepository", "eks:DeleteCluster", "kms:ScheduleKeyDeletion", "rds:DeleteDBInstance",
            "rds:DeleteDBInstanceAutomatedBackup", "rds:DeleteDBSnapshot", "s3:DeleteBucket", "s3:DeleteObjectVersion",
          ]
          Resource = "*"
        },
      ] : [],
    )
  })
}

# images: pushes, and overwrites nothing, since tags are immutable

resource "aws_iam_role_policy" "images" {
  count = contains(keys(local.roles), "images") ? 1 : 0

  name = "push"
  role = aws_iam_role.this["images"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "LogIn"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        Sid    = "PushAndPull"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
          "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:ListImages", "ecr:PutImage", "ecr:UploadLayerPart",
        ]
        Resource = var.push_repository_arns
      },
      {
        Sid      = "ReadOutputs"
        Effect   = "Allow"
        Action   = "ssm:GetParameter"
        Resource = local.parameter
      },
    ]
  })
}

# deploy: finds the cluster, whose access entry says what it may do there

resource "aws_iam_role_policy" "deploy" {
  count = contains(keys(local.roles), "deploy") ? 1 : 0

  name = "deploy"
  role = aws_iam_role.this["deploy"].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "FindCluster"
          Effect   = "Allow"
          Action   = "eks:DescribeCluster"
          Resource = var.cluster_arn
        },
        {
          Sid      = "ReadOutputs"
          Effect   = "Allow"
          Action   = "ssm:GetParameter"
          Resource = local.parameter
        },
      ],
      length(var.pull_repository_arns) > 0 ? [
        {
          Sid      = "LogIn"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
        {
          Sid    = "VerifySignatures"
          Effect = "Allow"
          Action = [
            "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer",
          ]
          Resource = var.pull_repository_arns
        },
      ] : [],
    )
  })
}
