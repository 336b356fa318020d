variable "name" {
  description = "Prefix of every bucket's name: NAME-KEY-ACCOUNT, since the names of buckets are global."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name is ${var.name}: use 3 to 24 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "buckets" {
  description = "Buckets to make, by key. Objects expire `expire_days` after they were written (null: never), earlier versions of them after `noncurrent_days`; a `protected` bucket is only destroyed when it is empty."
  type = map(object({
    expire_days     = optional(number)
    noncurrent_days = optional(number, 30)
    protected       = optional(bool, true)
  }))

  validation {
    condition     = length(var.buckets) > 0
    error_message = "buckets is empty: name at least one, such as { log = {} }."
  }

  validation {
    condition     = alltrue([for key in keys(var.buckets) : can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", key))])
    error_message = "buckets has the keys ${join(", ", keys(var.buckets))}: use 2 to 24 lowercase letters, digits and hyphens, beginning with a letter."
  }

  validation {
    condition     = !contains(keys(var.buckets), "access-logs")
    error_message = "buckets has the key access-logs, which is that of the bucket for access logs: choose another."
  }

  validation {
    condition     = alltrue([for bucket in var.buckets : bucket.expire_days == null ? true : bucket.expire_days >= 1])
    error_message = "expire_days of a bucket is less than 1: give the days that objects are kept, or null to keep them."
  }

  validation {
    condition     = alltrue([for bucket in var.buckets : bucket.noncurrent_days >= 1])
    error_message = "noncurrent_days of a bucket is less than 1: give the days for which a deleted or replaced object can be brought back."
  }
}

variable "access_log_days" {
  description = "Days for which the log of requests to the buckets is kept."
  type        = number
  default     = 365

  validation {
    condition     = var.access_log_days >= 1
    error_message = "access_log_days is ${var.access_log_days}: give at least 1."
  }
}
