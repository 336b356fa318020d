variable "name" {
  description = "Identifier of the instance, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z](-?[a-z0-9])+$", var.name)) && length(var.name) <= 40
    error_message = "name is ${var.name}: use 2 to 40 lowercase letters, digits and single hyphens, beginning with a letter."
  }
}

variable "vpc_id" {
  description = "VPC of the instance."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-z]+$", var.vpc_id))
    error_message = "vpc_id is ${var.vpc_id}: give the id of a VPC (vpc-…), such as the output vpc_id of the module network."
  }
}

variable "subnet_ids" {
  description = "Private subnets in at least two availability zones: RDS accepts no fewer, so that a standby can be added."
  type        = list(string)

  validation {
    condition     = length(distinct(var.subnet_ids)) >= 2
    error_message = "subnet_ids has ${length(distinct(var.subnet_ids))} different subnets: give at least two, in different availability zones."
  }
}

variable "client_cidrs" {
  description = "Address ranges whose clients may connect: those of the VPCs with MLflow and Prefect."
  type        = list(string)

  validation {
    condition     = length(var.client_cidrs) > 0 && alltrue([for cidr in var.client_cidrs : can(cidrhost(cidr, 0))])
    error_message = "client_cidrs is [${join(", ", var.client_cidrs)}]: give at least one address range, such as 10.1.0.0/16."
  }

  validation {
    condition     = alltrue([for cidr in var.client_cidrs : can(cidrhost(cidr, 0)) ? tonumber(split("/", cidr)[1]) >= 8 : true])
    error_message = "client_cidrs is [${join(", ", var.client_cidrs)}]: a range larger than /8 is not one of private networks."
  }
}

variable "postgres_version" {
  description = "Major version of PostgreSQL. RDS raises the minor version in the maintenance window."
  type        = string
  default     = "17"

  validation {
    condition     = contains(["15", "16", "17"], var.postgres_version)
    error_message = "postgres_version is ${var.postgres_version}: choose 15, 16 or 17."
  }
}

variable "instance_class" {
  description = "Class of the instance. MLflow and Prefect of a small team fit into db.t4g.medium."
  type        = string
  default     = "db.t4g.medium"

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "instance_class is ${var.instance_class}: give a class of RDS, such as db.t4g.medium."
  }
}

variable "storage_gb" {
  description = "Storage at the beginning, in GiB."
  type        = number
  default     = 50

  validation {
    condition     = var.storage_gb >= 20
    error_message = "storage_gb is ${var.storage_gb}: RDS needs at least 20."
  }
}

variable "max_storage_gb" {
  description = "Up to which RDS adds storage by itself, in GiB."
  type        = number
  default     = 200

  validation {
    condition     = var.max_storage_gb >= var.storage_gb * 1.1
    error_message = "max_storage_gb is ${var.max_storage_gb}: RDS needs room to grow, at least a tenth more than storage_gb, which is ${var.storage_gb}."
  }
}

variable "multi_az" {
  description = "Whether a standby in a second availability zone takes over when the first fails; doubles the price."
  type        = bool
  default     = true
}

variable "backup_days" {
  description = "Days for which backups allow a restore to any second."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days is ${var.backup_days}: RDS keeps backups for 1 to 35 days, and without them nothing can be restored."
  }
}

variable "protected" {
  description = "Whether the server refuses to be deleted, by whomever."
  type        = bool
  default     = true
}

variable "keep_backups" {
  description = "Whether a deleted server leaves its backups and a last snapshot, NAME-final."
  type        = bool
  default     = true
}
