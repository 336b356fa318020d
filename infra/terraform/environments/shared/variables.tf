variable "region" {
  description = "AWS region of the environment."
  type        = string
  default     = "eu-central-1"
}

variable "repository" {
  description = "GitHub repository, OWNER/NAME, whose workflows get roles here and in the other environments."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository is \"${var.repository}\": set OWNER/NAME in infra/terraform/environments/shared/terraform.tfvars, without https://github.com/."
  }
}

variable "use_cases" {
  description = "Folders of usecases/ that are served: each has a repository for its images."
  type        = set(string)

  validation {
    condition     = length(var.use_cases) > 0 && alltrue([for name in var.use_cases : can(regex("^[a-z][a-z0-9]*(_[a-z0-9]+)*$", name)) && length(name) <= 40])
    error_message = "use_cases is ${jsonencode(var.use_cases)}: set the names of one or more folders of usecases/, such as credit_risk, each of 40 characters or less."
  }
}

variable "keep_images" {
  description = "Images of each repository that are kept; older ones are deleted."
  type        = number
}

variable "availability_zones" {
  description = "Zones of the database's network: two or more."
  type        = list(string)
}

variable "client_cidrs" {
  description = "Networks of the environments, whose pods use the database."
  type        = list(string)

  validation {
    condition     = alltrue([for cidr in var.client_cidrs : can(cidrnetmask(cidr)) && cidr != "0.0.0.0/0"])
    error_message = "client_cidrs is ${jsonencode(var.client_cidrs)}: set the cidr of staging and that of production."
  }
}

variable "database_instance_class" {
  description = "Size of the PostgreSQL of MLflow and Prefect."
  type        = string
}

variable "database_multi_az" {
  description = "Whether a second database in another zone takes over when the first fails."
  type        = bool
}

variable "database_backup_days" {
  description = "Days for which the database can be restored to any second."
  type        = number
}

variable "database_keep_backups" {
  description = "Whether a deleted database leaves its backups and a last snapshot."
  type        = bool
  default     = true
}

variable "artifact_days" {
  description = "Days that replaced and deleted models are kept."
  type        = number
}

variable "billing_emails" {
  description = "E-mail addresses that learn of the bill, once their owners have followed the link in the first e-mail."
  type        = set(string)
}

variable "monthly_budget_usd" {
  description = "Budget of the whole account for a month, in US dollars. Null: none."
  type        = number
  default     = null
}

variable "charges_alarm_usd" {
  description = "Charges of the account in a month, in US dollars, above which an alarm is raised. Null: no alarm."
  type        = number
  default     = null
}

variable "protected" {
  description = "Whether AWS refuses to delete database and buckets."
  type        = bool
}
