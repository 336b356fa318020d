variable "name" {
  description = "Name of the VPC, and prefix of what belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is ${var.name}: use 3 to 32 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "cidr" {
  description = "Address range of the VPC, /16 to /20. An eighth of it becomes the private subnet of each zone, since every pod takes an address; the last eighth is divided among the public ones."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("/(1[6-9]|20)$", var.cidr))
    error_message = "cidr is ${var.cidr}: give a range of /16 to /20, such as 10.1.0.0/16."
  }

  validation {
    condition     = can(cidrhost(var.cidr, 0)) ? cidrhost(var.cidr, 0) == split("/", var.cidr)[0] : true
    error_message = "cidr is ${var.cidr}, whose address is not the first of its range: write ${can(cidrhost(var.cidr, 0)) ? cidrhost(var.cidr, 0) : ""}/${try(split("/", var.cidr)[1], "")}."
  }
}

variable "availability_zones" {
  description = "Zones that get a private and a public subnet, two to six; EKS and RDS need two."
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) >= 2 && length(var.availability_zones) <= 6 && length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "availability_zones is [${join(", ", var.availability_zones)}]: give two to six different ones."
  }

  validation {
    condition     = alltrue([for zone in var.availability_zones : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$", zone))])
    error_message = "availability_zones is [${join(", ", var.availability_zones)}]: give names such as eu-central-1a."
  }
}

variable "nat" {
  description = "NAT gateways of the private subnets: `none`, `one` for all zones, which fails with its zone, or `each` zone its own."
  type        = string
  default     = "one"

  validation {
    condition     = contains(["none", "one", "each"], var.nat)
    error_message = "nat is ${var.nat}: choose none, one or each."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached inside of the VPC, beside S3, whose gateway is always there. Each costs by the hour in each zone."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "kms", "logs", "secretsmanager", "sts"]

  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z0-9]+([.-][a-z0-9]+)*$", service)) && !startswith(service, "com.amazonaws")])
    error_message = "interface_endpoints has ${join(", ", var.interface_endpoints)}: give services as they end after com.amazonaws.REGION, such as ecr.api."
  }

  validation {
    condition     = !contains(var.interface_endpoints, "s3")
    error_message = "interface_endpoints has s3: leave it out, since S3 has a gateway, which costs nothing."
  }
}

variable "peer" {
  description = "VPC of the same account and region to connect with: its id, its address range, and its route tables that shall lead here; null for none."
  type = object({
    vpc_id          = string
    cidr            = string
    route_table_ids = list(string)
  })
  default = null

  validation {
    condition     = var.peer == null ? true : can(cidrhost(var.peer.cidr, 0)) && startswith(var.peer.vpc_id, "vpc-")
    error_message = "peer has vpc_id ${try(var.peer.vpc_id, "")} and cidr ${try(var.peer.cidr, "")}: give the outputs vpc_id and cidr of the other network."
  }

  # Two ranges overlap if they are the same as far as the shorter of the prefixes goes
  validation {
    condition = var.peer == null || !can(cidrhost(var.peer.cidr, 0)) || !can(cidrhost(var.cidr, 0)) ? true : (
      cidrhost("${split("/", var.cidr)[0]}/${min(split("/", var.cidr)[1], split("/", var.peer.cidr)[1])}", 0) !=
      cidrhost("${split("/", var.peer.cidr)[0]}/${min(split("/", var.cidr)[1], split("/", var.peer.cidr)[1])}", 0)
    )
    error_message = "cidr is ${var.cidr}, which overlaps with ${try(var.peer.cidr, "")} of the peer: choose another range for one of them."
  }
}

variable "flow_log_days" {
  description = "Days for which the log of connections is kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.flow_log_days)
    error_message = "flow_log_days is ${var.flow_log_days}: CloudWatch keeps a log for 90, 120, 150, 180, 365, 400, 545 or 731 days, or for 3 to 10 years in days (1096, 1827, 2192, 2557, 2922, 3288, 3653)."
  }
}
