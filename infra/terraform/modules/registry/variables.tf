variable "name" {
  description = "Prefix of every repository's name: NAME/REPOSITORY."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is ${var.name}: use 3 to 32 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "repositories" {
  description = "Repositories to make, one for each image."
  type        = set(string)

  validation {
    condition     = length(var.repositories) > 0
    error_message = "repositories is empty: name at least one, such as \"slipway-platform\"."
  }

  validation {
    condition     = alltrue([for name in var.repositories : can(regex("^[a-z][a-z0-9]*([._-][a-z0-9]+)*$", name))])
    error_message = "repositories has ${join(", ", var.repositories)}: use lowercase letters and digits, with single dots, underscores and hyphens between them."
  }
}

variable "keep_images" {
  description = "How many of the newest images each repository keeps. A rollback needs the image it goes back to."
  type        = number
  default     = 50

  validation {
    condition     = var.keep_images >= 10 && var.keep_images <= 1000 && floor(var.keep_images) == var.keep_images
    error_message = "keep_images is ${var.keep_images}: give a whole number from 10 to 1000."
  }
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the images; null for the key that AWS manages for ECR."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-f-]+$", var.kms_key_arn))
    error_message = "kms_key_arn is ${coalesce(var.kms_key_arn, "null")}: give the ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID), or null."
  }
}
