variable "name" {
  description = "First part of the bucket's name, NAME-state-ACCOUNT."
  type        = string
  default     = "slipway"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name is ${var.name}: use 3 to 20 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "region" {
  description = "Region of the bucket and its key."
  type        = string
  default     = "eu-central-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is ${var.region}: give a region of AWS, such as eu-central-1."
  }
}
