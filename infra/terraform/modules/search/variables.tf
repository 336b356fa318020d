variable "name" {
  description = "Prefix of the names of the endpoint and its security group."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is ${var.name}: use 3 to 32 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "vpc_id" {
  description = "VPC of the endpoint, in which the deployment's name resolves."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id is ${var.vpc_id}: give the ID of a VPC (vpc-…)."
  }
}

variable "subnet_ids" {
  description = "Private subnets of the endpoint, one in each availability zone that Elastic supports in the region."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids is empty: give one private subnet or more, each in its own availability zone."
  }
}

variable "client_cidrs" {
  description = "Addresses that may use the endpoint: those of the cluster's nodes and of people's VPN."
  type        = list(string)

  validation {
    condition     = length(var.client_cidrs) > 0 && alltrue([for cidr in var.client_cidrs : can(cidrhost(cidr, 0)) && cidr != "0.0.0.0/0"])
    error_message = "client_cidrs is [${join(", ", var.client_cidrs)}]: give ranges inside your networks, such as 10.1.0.0/16."
  }
}

variable "service_name" {
  description = "Elastic's endpoint service of the region (elastic.co/docs/deploy-manage/security/private-connectivity-aws)."
  type        = string
  default     = "com.amazonaws.vpce.eu-central-1.vpce-svc-081b2960e915a0861"

  validation {
    condition     = can(regex("^com\\.amazonaws\\.vpce\\.[a-z0-9-]+\\.vpce-svc-[0-9a-f]+$", var.service_name))
    error_message = "service_name is ${var.service_name}: give com.amazonaws.vpce.REGION.vpce-svc-ID, from Elastic's list of regions."
  }
}

variable "domain" {
  description = "Domain of private connections in Elastic's region, from the same list."
  type        = string
  default     = "vpce.eu-central-1.aws.elastic-cloud.com"

  validation {
    condition     = can(regex("^vpce\\.[a-z0-9-]+\\.aws\\.elastic-cloud\\.com$", var.domain))
    error_message = "domain is ${var.domain}: give vpce.REGION.aws.elastic-cloud.com, from Elastic's list of regions."
  }

  validation {
    condition     = split(".", var.domain)[1] == try(split(".", var.service_name)[3], "")
    error_message = "domain is ${var.domain}, and service_name is ${var.service_name}: both must be of one region."
  }
}

variable "deployment" {
  description = "Alias of the deployment in Elastic Cloud, as its endpoints begin."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", var.deployment))
    error_message = "deployment is ${var.deployment}: give the alias alone, such as slipway-d53192, without .es and the domain."
  }
}
