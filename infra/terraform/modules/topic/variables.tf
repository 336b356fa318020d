variable "name" {
  description = "Name of the topic."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,62}[a-z0-9]$", var.name))
    error_message = "name is ${var.name}: use 3 to 64 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "publishers" {
  description = "Services of AWS that may publish to the topic, for resources of this account."
  type        = set(string)

  validation {
    condition     = length(var.publishers) > 0 && alltrue([for service in var.publishers : can(regex("^[a-z0-9.-]+\\.amazonaws\\.com$", service))])
    error_message = "publishers is [${join(", ", var.publishers)}]: name at least one service, such as cloudwatch.amazonaws.com."
  }
}

variable "emails" {
  description = "E-mail addresses that get every message, once their owners have followed the link in the first one."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "emails has ${join(", ", var.emails)}: give e-mail addresses."
  }
}
