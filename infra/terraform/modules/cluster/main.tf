data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account    = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name
  arn        = "arn:${local.partition}:eks:${local.region}:${local.account}:cluster/${var.name}"
  log_group  = "/aws/eks/${var.name}/cluster"
  aws_policy = "arn:${local.partition}:iam::aws:policy"
}

# Encryption of Secrets and of the control plane's logs

resource "aws_kms_key" "this" {
  description             = "Secrets and control-plane logs of the cluster ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountDecidesByItsPolicies"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "LogGroupOfTheControlPlane"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnEquals = {
            "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group}"
          }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}-cluster"
  target_key_id = aws_kms_key.this.key_id
}

# EKS would make this group itself, without encryption and kept for ever.
resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this.arn
}

# Control plane

resource "aws_iam_role" "cluster" {
  name = "${var.name}-cluster"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "eks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "${local.aws_policy}/AmazonEKSClusterPolicy"
}

# Besides the group that EKS makes, in which nodes and control plane are: who reaches the API from inside the network.
resource "aws_security_group" "api" {
  name        = "${var.name}-api"
  description = "Private endpoint of the Kubernetes API of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-api" }
}

resource "aws_vpc_security_group_ingress_rule" "api" {
  for_each = toset(var.private_access_cidrs)

  security_group_id = aws_security_group.api.id
  description       = "Kubernetes API from ${each.key}"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_eks_cluster" "this" {
  name                          = var.name
  version                       = var.kubernetes_version
  role_arn                      = aws_iam_role.cluster.arn
  enabled_cluster_log_types     = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  bootstrap_self_managed_addons = false

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = aws_kms_key.this.arn
    }
  }

  # Past its standard support, a version is upgraded by EKS; otherwise it would stay, at six times the price.
  upgrade_policy {
    support_type = "STANDARD"
  }

  vpc_config {
    subnet_ids              = var.subnet_ids
    security_group_ids      = [aws_security_group.api.id]
    endpoint_private_access = true
    endpoint_public_access  = length(var.public_access_cidrs) > 0
    public_access_cidrs     = length(var.public_access_cidrs) > 0 ? var.public_access_cidrs : null
  }

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy_attachment.cluster]
}

# The API of this provider has no deletion protection for clusters: a plan that would destroy this resource fails, and
# so does one that would replace the cluster.
resource "terraform_data" "protection" {
  count = var.protected ? 1 : 0

  triggers_replace = aws_eks_cluster.this.id

  lifecycle {
    prevent_destroy = true
  }
}

# Who may use the API

resource "aws_eks_access_entry" "this" {
  for_each = var.access

  cluster_name      = aws_eks_cluster.this.name
  principal_arn     = each.value.principal_arn
  kubernetes_groups = each.value.groups
}

resource "aws_eks_access_policy_association" "this" {
  for_each = { for name, entry in var.access : name => entry if entry.policy != null }

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.this[each.key].principal_arn
  policy_arn    = "arn:${local.partition}:eks::aws:cluster-access-policy/${each.value.policy}"

  access_scope {
    type       = length(each.value.namespaces) > 0 ? "namespace" : "cluster"
    namespaces = length(each.value.namespaces) > 0 ? each.value.namespaces : null
  }
}

# Rights of pods in AWS, by EKS Pod Identity

locals {
  addon_identities = {
    vpc-cni            = { namespace = "kube-system", service_account = "aws-node", policy = "AmazonEKS_CNI_Policy" }
    aws-ebs-csi-driver = { namespace = "kube-system", service_account = "ebs-csi-controller-sa", policy = "service-role/AmazonEBSCSIDriverPolicy" }
  }
  pods = merge(
    { for key, pod in local.addon_identities : key => { namespace = pod.namespace, service_account = pod.service_account } },
    { for key, pod in var.pod_identities : key => { namespace = pod.namespace, service_account = pod.service_account } },
  )
}

resource "aws_iam_role" "pods" {
  for_each = local.pods

  name = "${var.name}-pod-${each.key}"

  # The tags are set by EKS from what the pod is: no other ServiceAccount, and no other cluster, gets this role.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:RequestTag/eks-cluster-arn"            = local.arn
          "aws:RequestTag/kubernetes-namespace"       = each.value.namespace
          "aws:RequestTag/kubernetes-service-account" = each.value.service_account
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "addons" {
  for_each = local.addon_identities

  role       = aws_iam_role.pods[each.key].name
  policy_arn = "${local.aws_policy}/${each.value.policy}"
}

resource "aws_iam_role_policy" "pods" {
  for_each = var.pod_identities

  name   = "rights"
  role   = aws_iam_role.pods[each.key].name
  policy = each.value.policy_json
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = local.pods

  cluster_name    = aws_eks_cluster.this.name
  namespace       = each.value.namespace
  service_account = each.value.service_account
  role_arn        = aws_iam_role.pods[each.key].arn
}

# Add-ons: those without which no node becomes ready, and those whose pods need a node

locals {
  node_addons = {
    eks-pod-identity-agent = null
    kube-proxy             = null
    # Slipway's connections are allowed one by one, by NetworkPolicy: without this, all of them would be open.
    vpc-cni = jsonencode({ enableNetworkPolicy = "true" })
  }
}

resource "aws_eks_addon" "nodes" {
  for_each = local.node_addons

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = lookup(var.addon_versions, each.key, null)
  configuration_values        = each.value
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  depends_on = [aws_eks_pod_identity_association.this, aws_iam_role_policy_attachment.addons]
}

resource "aws_eks_addon" "pods" {
  # The last one measures pods, for the autoscaling of the service.
  for_each = toset(["aws-ebs-csi-driver", "coredns", "metrics-server"])

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = lookup(var.addon_versions, each.key, null)
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  depends_on = [aws_eks_addon.nodes, aws_eks_node_group.this, aws_iam_role_policy_attachment.addons]
}

# Nodes

locals {
  cpu_group = {
    cpu = {
      ami_type       = "AL2023_x86_64_STANDARD"
      instance_types = var.cpu_nodes.instance_types
      min            = var.cpu_nodes.min
      max            = var.cpu_nodes.max
      desired        = var.cpu_nodes.desired
      disk_gib       = 50
      labels         = {}
      taints         = {}
    }
  }
  gpu_group = {
    for nodes in var.gpu_nodes[*] : "gpu" => {
      ami_type       = "AL2023_x86_64_NVIDIA"
      instance_types = nodes.instance_types
      min            = nodes.min
      max            = nodes.max
      desired        = nodes.min
      disk_gib       = 150 # images with CUDA
      # What the components `gpu` and `gpu-training` and the device plugin select and tolerate
      labels = { "nvidia.com/gpu.present" = "true" }
      taints = { "nvidia.com/gpu" = "true" }
    }
  }
  node_groups = merge(local.cpu_group, local.gpu_group)
}

resource "aws_iam_role" "nodes" {
  name = "${var.name}-nodes"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# Rights of the network plug-in and of the storage driver are their pods', not their nodes'.
resource "aws_iam_role_policy_attachment" "nodes" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"])

  role       = aws_iam_role.nodes.name
  policy_arn = "${local.aws_policy}/${each.key}"
}

resource "aws_launch_template" "nodes" {
  for_each = local.node_groups

  name                   = "${var.name}-${each.key}"
  update_default_version = true

  # One hop: the node's own processes get the node's credentials, pods do not.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = each.value.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  # The provider's default tags end at the template.
  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])

    content {
      resource_type = tag_specifications.key
      tags          = merge(var.tags, { Name = "${var.name}-${each.key}" })
    }
  }
}

resource "aws_eks_node_group" "this" {
  for_each = local.node_groups

  cluster_name    = aws_eks_cluster.this.name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.nodes.arn
  subnet_ids      = var.subnet_ids
  ami_type        = each.value.ami_type
  instance_types  = each.value.instance_types
  labels          = each.value.labels

  launch_template {
    id      = aws_launch_template.nodes[each.key].id
    version = aws_launch_template.nodes[each.key].latest_version
  }

  scaling_config {
    min_size     = each.value.min
    max_size     = each.value.max
    desired_size = each.value.desired
  }

  update_config {
    max_unavailable = 1
  }

  dynamic "taint" {
    for_each = each.value.taints

    content {
      key    = taint.key
      value  = taint.value
      effect = "NO_SCHEDULE"
    }
  }

  # How many there are is decided by an autoscaler, or a person, between min and max.
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size]
  }

  depends_on = [aws_eks_addon.nodes, aws_iam_role_policy_attachment.nodes]
}
