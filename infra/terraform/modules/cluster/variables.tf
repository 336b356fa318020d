variable "name" {
  description = "Name of the cluster, and prefix of everything that belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is ${var.name}: use 3 to 32 lowercase letters, digits and hyphens, beginning with a letter."
  }
}

variable "kubernetes_version" {
  description = "Version of Kubernetes. Slipway's manifests need 1.33: sidecars are init containers that restart."
  type        = string
  default     = "1.33"

  validation {
    condition     = can(regex("^1\\.(3[3-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version is ${var.kubernetes_version}: give 1.33 or newer, as MAJOR.MINOR."
  }
}

variable "vpc_id" {
  description = "VPC of the cluster."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id is ${var.vpc_id}: give the ID of a VPC (vpc-…)."
  }
}

variable "subnet_ids" {
  description = "Private subnets of nodes and control plane, in two availability zones or more."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids has ${length(var.subnet_ids)} subnets: EKS needs two or more, in different availability zones."
  }
}

variable "cpu_nodes" {
  description = "Nodes without GPUs: types of instances with x86-64 processors, the first available one is taken; how many at least, at most, and to begin with."
  type = object({
    instance_types = list(string)
    min            = number
    max            = number
    desired        = number
  })

  validation {
    condition     = length(var.cpu_nodes.instance_types) > 0 && alltrue([for type in var.cpu_nodes.instance_types : !can(regex("^[a-z]+[0-9]+g", type))])
    error_message = "cpu_nodes.instance_types is [${join(", ", var.cpu_nodes.instance_types)}]: give one or more with x86-64 processors, such as m7i.large. Those with a g after the generation (m7g.large) are ARM, for which there are no images."
  }

  validation {
    condition     = 1 <= var.cpu_nodes.min && var.cpu_nodes.min <= var.cpu_nodes.desired && var.cpu_nodes.desired <= var.cpu_nodes.max
    error_message = "cpu_nodes has min ${var.cpu_nodes.min}, desired ${var.cpu_nodes.desired}, max ${var.cpu_nodes.max}: give 1 <= min <= desired <= max."
  }
}

variable "gpu_nodes" {
  description = "Nodes with NVIDIA GPUs: types of instances, how many at least (0: none until a pod needs one) and at most; null for no such group."
  type = object({
    instance_types = list(string)
    min            = optional(number, 0)
    max            = number
  })
  default = null

  validation {
    condition = alltrue([
      for nodes in var.gpu_nodes[*] :
      length(nodes.instance_types) > 0 && alltrue([for type in nodes.instance_types : can(regex("^[gp][0-9]+[a-z]*\\.", type)) && !can(regex("^(g4ad|g5g)\\.", type))])
    ])
    error_message = "gpu_nodes.instance_types is [${join(", ", flatten(var.gpu_nodes[*].instance_types))}]: give one or more with NVIDIA GPUs and x86-64 processors, such as g4dn.xlarge or g6.xlarge."
  }

  validation {
    condition     = alltrue([for nodes in var.gpu_nodes[*] : 0 <= nodes.min && nodes.min <= nodes.max && nodes.max >= 1])
    error_message = "gpu_nodes has min ${join("", var.gpu_nodes[*].min)}, max ${join("", var.gpu_nodes[*].max)}: give 0 <= min <= max and max >= 1, or null for gpu_nodes."
  }
}

variable "pod_identities" {
  description = "Rights of pods in AWS, by a name of yours: the ServiceAccount that gets a role, and the role's policy as JSON."
  type = map(object({
    namespace       = string
    service_account = string
    policy_json     = string
  }))
  default = {}

  validation {
    condition     = alltrue([for key in keys(var.pod_identities) : can(regex("^[a-z][a-z0-9-]{0,23}$", key)) && !contains(["vpc-cni", "aws-ebs-csi-driver"], key)])
    error_message = "pod_identities has the names ${join(", ", keys(var.pod_identities))}: use up to 24 lowercase letters, digits and hyphens, and neither vpc-cni nor aws-ebs-csi-driver, which are the add-ons'."
  }

  validation {
    condition     = alltrue([for pod in values(var.pod_identities) : can(jsondecode(pod.policy_json).Statement)])
    error_message = "pod_identities has a policy_json that is no policy: give JSON with a Statement, such as jsonencode({Version = \"2012-10-17\", Statement = [...]})."
  }

  validation {
    condition     = length(distinct([for pod in values(var.pod_identities) : "${pod.namespace}/${pod.service_account}"])) == length(var.pod_identities)
    error_message = "pod_identities names a ServiceAccount twice: a ServiceAccount has one role, so put both policies into one."
  }
}

variable "access" {
  description = "Who may use the Kubernetes API, by a name of yours: an IAM role or user, an access policy of EKS (null: none), the namespaces it is limited to ([]: the whole cluster), and groups for RoleBindings. Whoever creates the cluster has no rights by that."
  type = map(object({
    principal_arn = string
    policy        = optional(string)
    namespaces    = optional(list(string), [])
    groups        = optional(list(string), [])
  }))
  default = {}

  validation {
    condition     = alltrue([for entry in values(var.access) : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$", entry.principal_arn))])
    error_message = "access has the principals ${join(", ", values(var.access)[*].principal_arn)}: each must be the ARN of an IAM role or user."
  }

  validation {
    condition = alltrue([
      for entry in values(var.access) : entry.policy == null ? length(entry.groups) > 0 : contains(
        ["AmazonEKSClusterAdminPolicy", "AmazonEKSAdminPolicy", "AmazonEKSEditPolicy", "AmazonEKSViewPolicy", "AmazonEKSAdminViewPolicy"],
        entry.policy,
      )
    ])
    error_message = "access has the policies ${join(", ", [for entry in values(var.access) : coalesce(entry.policy, "null")])}: use AmazonEKSClusterAdminPolicy, AmazonEKSAdminPolicy, AmazonEKSEditPolicy, AmazonEKSViewPolicy or AmazonEKSAdminViewPolicy, or none and a group."
  }

  validation {
    condition     = alltrue([for entry in values(var.access) : length(entry.namespaces) == 0 || coalesce(entry.policy, "none") != "AmazonEKSClusterAdminPolicy"])
    error_message = "access limits AmazonEKSClusterAdminPolicy, which is meant for the whole cluster, to namespaces: use AmazonEKSAdminPolicy there."
  }

  validation {
    condition     = alltrue([for entry in values(var.access) : alltrue([for group in entry.groups : !startswith(group, "system:")])])
    error_message = "access has a group that begins with system:, which EKS refuses: name groups of your own, for RoleBindings."
  }
}

variable "public_access_cidrs" {
  description = "Addresses that reach the Kubernetes API from the internet; []: none, and the API is inside the VPC only."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.public_access_cidrs : can(cidrhost(cidr, 0))])
    error_message = "public_access_cidrs is [${join(", ", var.public_access_cidrs)}]: give ranges such as 203.0.113.0/24."
  }
}

variable "private_access_cidrs" {
  description = "Addresses that reach the Kubernetes API inside the VPC, besides its nodes: those of runners, of a VPN, of a peered VPC."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.private_access_cidrs : can(cidrhost(cidr, 0)) && cidr != "0.0.0.0/0"])
    error_message = "private_access_cidrs is [${join(", ", var.private_access_cidrs)}]: give ranges inside your networks, such as 10.0.0.0/16."
  }
}

variable "addon_versions" {
  description = "Version of an add-on, by its name; one that is missing gets EKS's default for this version of Kubernetes when it is made."
  type        = map(string)
  default     = {}

  validation {
    condition = length(setsubtract(keys(var.addon_versions), [
      "aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "metrics-server", "vpc-cni",
    ])) == 0
    error_message = "addon_versions has ${join(", ", keys(var.addon_versions))}: the add-ons are aws-ebs-csi-driver, coredns, eks-pod-identity-agent, kube-proxy, metrics-server and vpc-cni."
  }
}

variable "log_retention_days" {
  description = "Days that the control plane's logs are kept, audit included."
  type        = number
  default     = 365

  validation {
    condition     = contains([90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is ${var.log_retention_days}: CloudWatch keeps 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "protected" {
  description = "Whether a plan that would destroy or replace the cluster fails."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of instances and their volumes, which the provider's default tags do not reach."
  type        = map(string)
  default     = {}
}
