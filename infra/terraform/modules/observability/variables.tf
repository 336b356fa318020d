variable "name" {
  description = "Name of the workspaces, and prefix of everything that belongs to them."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is ${var.name}: use 3 to 32 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "alert_emails" {
  description = "E-mail addresses that get alerts, once their owners have followed the link in the first e-mail."
  type        = set(string)

  validation {
    condition     = length(var.alert_emails) > 0
    error_message = "alert_emails is empty: name at least one address, or nobody gets an alert."
  }
}

variable "rules" {
  description = "Rule files of Prometheus, by a name: those of monitoring/prometheus/rules."
  type        = map(string)

  validation {
    condition     = length(var.rules) > 0 && alltrue([for text in values(var.rules) : can(yamldecode(text).groups)])
    error_message = "rules has ${join(", ", keys(var.rules))}: give the text of at least one rule file, each with groups."
  }

  validation {
    condition     = alltrue([for name in keys(var.rules) : can(regex("^[0-9A-Za-z][-.0-9A-Z_a-z]{0,63}$", name))])
    error_message = "rules has the names ${join(", ", keys(var.rules))}: use up to 64 letters, digits, dots, underscores and hyphens."
  }
}

variable "alertmanager" {
  description = "Alertmanager's routes, inhibitions and names of receivers: the text of monitoring/prometheus/alertmanager.yml; null: alerts fire, and nobody is told."
  type        = string
  default     = null

  validation {
    condition     = var.alertmanager == null || can(yamldecode(var.alertmanager).route.receiver) && can(yamldecode(var.alertmanager).receivers[*].name)
    error_message = "alertmanager is no configuration of Alertmanager: it needs route.receiver, and receivers with names."
  }
}

variable "notified_receivers" {
  description = "Receivers of that file whose alerts go to `alert_emails`. The others get nothing: Prometheus of AWS sends to SNS only."
  type        = set(string)
  default     = ["pages", "tickets"]

  validation {
    condition     = var.alertmanager == null || length(setsubtract(var.notified_receivers, try(yamldecode(var.alertmanager).receivers[*].name, []))) == 0
    error_message = "notified_receivers is [${join(", ", var.notified_receivers)}], and alertmanager has the receivers [${join(", ", try(yamldecode(var.alertmanager).receivers[*].name, []))}]: name some of these."
  }
}

variable "grafana" {
  description = "Whether there is a workspace of Managed Grafana."
  type        = bool
  default     = false
}

variable "grafana_authentication" {
  description = "How people log in to Grafana: AWS_SSO (IAM Identity Center), SAML, or both."
  type        = list(string)
  default     = ["AWS_SSO"]

  validation {
    condition     = length(var.grafana_authentication) > 0 && alltrue([for way in var.grafana_authentication : contains(["AWS_SSO", "SAML"], way)])
    error_message = "grafana_authentication is [${join(", ", var.grafana_authentication)}]: use AWS_SSO, SAML, or both."
  }
}
