variable "name" {
  description = "Name of the budget, and prefix of alarm and topic."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is ${var.name}: use 3 to 32 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "emails" {
  description = "E-mail addresses that get the messages, once their owners have followed the link in the first e-mail."
  type        = set(string)

  validation {
    condition     = length(var.emails) > 0
    error_message = "emails is empty: name at least one address, or nobody learns of the bill before it is there."
  }
}

variable "monthly_budget_usd" {
  description = "Budget of the account for a month, in US dollars: a message at 80 % of it, and when more than all of it is forecast; null: no budget."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget_usd == null || try(var.monthly_budget_usd >= 1, false)
    error_message = "monthly_budget_usd is ${join("", var.monthly_budget_usd[*])}: give 1 or more, or null."
  }
}

variable "charges_alarm_usd" {
  description = "Charges of the month, in US dollars, above which an alarm is raised; null: no alarm. The account must have billing alerts switched on."
  type        = number
  default     = null

  validation {
    condition     = var.charges_alarm_usd == null || try(var.charges_alarm_usd >= 1, false)
    error_message = "charges_alarm_usd is ${join("", var.charges_alarm_usd[*])}: give 1 or more, or null."
  }

  validation {
    condition     = var.charges_alarm_usd != null || var.monthly_budget_usd != null
    error_message = "charges_alarm_usd and monthly_budget_usd are both null: give one of them, or leave the module out."
  }
}
