mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mock" }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }

  mock_resource "aws_eks_cluster" {
    defaults = {
      endpoint              = "https://example.eks.amazonaws.com"
      certificate_authority = [{ data = "Q0E=" }]
    }
  }
}

variables {
  name       = "slipway-test"
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  cpu_nodes  = { instance_types = ["m7i.large"], min = 2, max = 4, desired = 2 }
}

run "the_control_plane_logs_everything_encrypted_and_for_a_year" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.enabled_cluster_log_types == toset(["api", "audit", "authenticator", "controllerManager", "scheduler"])
    error_message = "A log of the control plane is off."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.name == "/aws/eks/slipway-test/cluster" && aws_cloudwatch_log_group.this.retention_in_days == 365
    error_message = "EKS writes into /aws/eks/NAME/cluster, and a group of that name is not kept for 365 days."
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[1].Condition.ArnEquals["kms:EncryptionContext:aws:logs:arn"] == "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/eks/slipway-test/cluster"
    error_message = "CloudWatch may not use the key for exactly this log group."
  }

  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"]) && aws_kms_key.this.enable_key_rotation
    error_message = "Secrets are not encrypted by a key that is rotated."
  }
}

run "access_is_by_entries_alone" {
  command = plan

  variables {
    access = {
      people = { principal_arn = "arn:aws:iam::123456789012:role/people", policy = "AmazonEKSClusterAdminPolicy" }
      deploy = { principal_arn = "arn:aws:iam::123456789012:role/deploy", policy = "AmazonEKSAdminPolicy", namespaces = ["slipway"], groups = ["deployers"] }
      robot  = { principal_arn = "arn:aws:iam::123456789012:role/robot", groups = ["robots"] }
    }
  }

  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "Somebody has access without an entry."
  }

  assert {
    condition     = aws_eks_access_policy_association.this["people"].access_scope[0].type == "cluster"
    error_message = "Without namespaces, the policy is of the whole cluster."
  }

  assert {
    condition     = aws_eks_access_policy_association.this["deploy"].access_scope[0].type == "namespace" && aws_eks_access_policy_association.this["deploy"].access_scope[0].namespaces == toset(["slipway"])
    error_message = "The deploying role is not limited to its namespace."
  }

  assert {
    condition     = aws_eks_access_policy_association.this["deploy"].policy_arn == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAdminPolicy"
    error_message = "The ARN of the access policy is wrong."
  }

  assert {
    condition     = keys(aws_eks_access_policy_association.this) == ["deploy", "people"] && aws_eks_access_entry.this["robot"].kubernetes_groups == toset(["robots"])
    error_message = "An entry without a policy has its groups only."
  }
}

run "the_api_is_private_unless_addresses_are_named" {
  command = plan

  variables {
    private_access_cidrs = ["10.0.0.0/16"]
  }

  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].endpoint_private_access
    error_message = "The API has a public endpoint, or no private one."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.api["10.0.0.0/16"].from_port == 443 && aws_vpc_security_group_ingress_rule.api["10.0.0.0/16"].to_port == 443
    error_message = "The named network does not reach port 443 alone."
  }
}

run "named_addresses_reach_the_public_endpoint" {
  command = plan

  variables {
    public_access_cidrs = ["203.0.113.0/24"]
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["203.0.113.0/24"])
    error_message = "The public endpoint is not limited to the named addresses."
  }
}

run "gpu_nodes_start_at_none_and_match_the_manifests" {
  command = plan

  variables {
    gpu_nodes = { instance_types = ["g6.xlarge"], max = 2 }
  }

  assert {
    condition     = aws_eks_node_group.this["gpu"].ami_type == "AL2023_x86_64_NVIDIA" && aws_eks_node_group.this["cpu"].ami_type == "AL2023_x86_64_STANDARD"
    error_message = "A group has the wrong kind of image."
  }

  assert {
    condition     = aws_eks_node_group.this["gpu"].scaling_config[0].min_size == 0 && aws_eks_node_group.this["gpu"].scaling_config[0].desired_size == 0
    error_message = "GPU nodes run before a pod needs one."
  }

  assert {
    condition     = aws_eks_node_group.this["gpu"].labels == tomap({ "nvidia.com/gpu.present" = "true" })
    error_message = "The components gpu and gpu-training select nvidia.com/gpu.present=true."
  }

  assert {
    condition     = one(aws_eks_node_group.this["gpu"].taint).key == "nvidia.com/gpu" && one(aws_eks_node_group.this["gpu"].taint).effect == "NO_SCHEDULE" && length(aws_eks_node_group.this["cpu"].taint) == 0
    error_message = "Only pods that tolerate nvidia.com/gpu may be on GPU nodes, and every pod on the others."
  }
}

run "without_gpu_nodes_there_is_one_group" {
  command = plan

  assert {
    condition     = keys(aws_eks_node_group.this) == ["cpu"]
    error_message = "A group of GPU nodes was not asked for."
  }
}

run "nodes_keep_their_credentials_and_encrypt_their_disks" {
  command = plan

  variables {
    gpu_nodes = { instance_types = ["g6.xlarge"], max = 2 }
    tags      = { environment = "test" }
  }

  assert {
    condition     = alltrue([for template in aws_launch_template.nodes : template.metadata_options[0].http_tokens == "required" && template.metadata_options[0].http_put_response_hop_limit == 1])
    error_message = "A pod could get the node's credentials from the metadata service."
  }

  assert {
    condition     = alltrue([for template in aws_launch_template.nodes : template.block_device_mappings[0].ebs[0].encrypted == "true"])
    error_message = "A node's disk is not encrypted."
  }

  assert {
    condition = alltrue(flatten([
      for template in aws_launch_template.nodes : [for resource in template.tag_specifications : resource.tags.environment == "test"]
    ]))
    error_message = "Instances or volumes lack the tags."
  }

  assert {
    condition     = toset([for attachment in aws_iam_role_policy_attachment.nodes : basename(attachment.policy_arn)]) == toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"])
    error_message = "Nodes may do more than join the cluster and pull images."
  }
}

run "addons_enforce_network_policies_and_have_their_own_roles" {
  command = plan

  assert {
    condition     = toset(concat(keys(aws_eks_addon.nodes), keys(aws_eks_addon.pods))) == toset(["aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "metrics-server", "vpc-cni"])
    error_message = "An add-on is missing."
  }

  assert {
    condition     = jsondecode(aws_eks_addon.nodes["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "Network policies are not enforced."
  }

  assert {
    condition     = aws_eks_pod_identity_association.this["vpc-cni"].service_account == "aws-node" && aws_eks_pod_identity_association.this["aws-ebs-csi-driver"].service_account == "ebs-csi-controller-sa"
    error_message = "The network plug-in or the storage driver has no role of its own."
  }
}

run "an_addon_has_the_version_that_is_named" {
  command = plan

  variables {
    addon_versions = { coredns = "v1.12.1-eksbuild.2" }
  }

  assert {
    condition     = aws_eks_addon.pods["coredns"].addon_version == "v1.12.1-eksbuild.2"
    error_message = "The named version of coredns was not taken."
  }
}

run "a_role_is_for_one_service_account_of_this_cluster" {
  command = plan

  variables {
    pod_identities = {
      mlflow = {
        namespace       = "slipway"
        service_account = "mlflow"
        policy_json     = "{\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"s3:GetObject\", \"Resource\": \"arn:aws:s3:::artifacts/*\"}]}"
      }
    }
  }

  assert {
    condition = jsondecode(aws_iam_role.pods["mlflow"].assume_role_policy).Statement[0].Condition.StringEquals == {
      "aws:RequestTag/eks-cluster-arn"            = "arn:aws:eks:eu-central-1:123456789012:cluster/slipway-test"
      "aws:RequestTag/kubernetes-namespace"       = "slipway"
      "aws:RequestTag/kubernetes-service-account" = "mlflow"
    }
    error_message = "Another ServiceAccount, or another cluster, would get the role."
  }

  assert {
    condition     = aws_eks_pod_identity_association.this["mlflow"].namespace == "slipway" && aws_eks_pod_identity_association.this["mlflow"].service_account == "mlflow"
    error_message = "The role is associated with another ServiceAccount."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.pods["mlflow"].policy).Statement[0].Action == "s3:GetObject"
    error_message = "The role does not have the policy that was given."
  }
}

run "a_protected_cluster_has_the_resource_that_no_plan_may_destroy" {
  command = plan

  variables {
    protected = true
  }

  assert {
    condition     = length(terraform_data.protection) == 1
    error_message = "A plan that destroys the cluster would not fail."
  }
}

run "outputs_are_complete" {
  variables {
    pod_identities = {
      watch = { namespace = "slipway", service_account = "watch", policy_json = "{\"Version\": \"2012-10-17\", \"Statement\": []}" }
    }
  }

  assert {
    condition     = output.name == "slipway-test" && output.arn == "arn:aws:eks:eu-central-1:123456789012:cluster/slipway-test"
    error_message = "Name or ARN of the cluster are wrong."
  }

  assert {
    condition     = output.endpoint == "https://example.eks.amazonaws.com" && output.certificate_authority == "Q0E="
    error_message = "Endpoint or certificate authority are not those of the cluster."
  }

  assert {
    condition     = output.pod_role_arns == { watch = "arn:aws:iam::123456789012:role/mock" }
    error_message = "Roles of pods are those in pod_identities, by their names."
  }
}

run "a_name_with_capitals_is_refused" {
  command = plan

  variables {
    name = "Slipway"
  }

  expect_failures = [var.name]
}

run "a_version_without_sidecars_that_restart_is_refused" {
  command = plan

  variables {
    kubernetes_version = "1.32"
  }

  expect_failures = [var.kubernetes_version]
}

run "a_vpc_by_its_name_is_refused" {
  command = plan

  variables {
    vpc_id = "main"
  }

  expect_failures = [var.vpc_id]
}

run "one_subnet_is_refused" {
  command = plan

  variables {
    subnet_ids = ["subnet-0123456789abcdef0"]
  }

  expect_failures = [var.subnet_ids]
}

run "arm_processors_are_refused" {
  command = plan

  variables {
    cpu_nodes = { instance_types = ["m7g.large"], min = 2, max = 4, desired = 2 }
  }

  expect_failures = [var.cpu_nodes]
}

run "more_nodes_than_allowed_are_refused" {
  command = plan

  variables {
    cpu_nodes = { instance_types = ["m7i.large"], min = 2, max = 4, desired = 5 }
  }

  expect_failures = [var.cpu_nodes]
}

run "gpus_that_are_not_from_nvidia_are_refused" {
  command = plan

  variables {
    gpu_nodes = { instance_types = ["g4ad.xlarge"], max = 1 }
  }

  expect_failures = [var.gpu_nodes]
}

run "a_gpu_group_that_can_have_no_node_is_refused" {
  command = plan

  variables {
    gpu_nodes = { instance_types = ["g6.xlarge"], max = 0 }
  }

  expect_failures = [var.gpu_nodes]
}

run "the_name_of_an_addon_is_refused_for_a_pod_identity" {
  command = plan

  variables {
    pod_identities = {
      vpc-cni = { namespace = "slipway", service_account = "x", policy_json = "{\"Statement\": []}" }
    }
  }

  expect_failures = [var.pod_identities]
}

run "what_is_no_policy_is_refused" {
  command = plan

  variables {
    pod_identities = {
      mlflow = { namespace = "slipway", service_account = "mlflow", policy_json = "arn:aws:iam::aws:policy/AmazonS3FullAccess" }
    }
  }

  expect_failures = [var.pod_identities]
}

run "two_roles_for_one_service_account_are_refused" {
  command = plan

  variables {
    pod_identities = {
      read  = { namespace = "slipway", service_account = "mlflow", policy_json = "{\"Statement\": []}" }
      write = { namespace = "slipway", service_account = "mlflow", policy_json = "{\"Statement\": []}" }
    }
  }

  expect_failures = [var.pod_identities]
}

run "a_principal_that_is_no_role_or_user_is_refused" {
  command = plan

  variables {
    access = { people = { principal_arn = "platform-team", policy = "AmazonEKSViewPolicy" } }
  }

  expect_failures = [var.access]
}

run "an_unknown_access_policy_is_refused" {
  command = plan

  variables {
    access = { people = { principal_arn = "arn:aws:iam::123456789012:role/people", policy = "AdministratorAccess" } }
  }

  expect_failures = [var.access]
}

run "an_entry_without_policy_and_groups_is_refused" {
  command = plan

  variables {
    access = { people = { principal_arn = "arn:aws:iam::123456789012:role/people" } }
  }

  expect_failures = [var.access]
}

run "an_administrator_of_the_cluster_limited_to_a_namespace_is_refused" {
  command = plan

  variables {
    access = { people = { principal_arn = "arn:aws:iam::123456789012:role/people", policy = "AmazonEKSClusterAdminPolicy", namespaces = ["slipway"] } }
  }

  expect_failures = [var.access]
}

run "a_group_of_the_system_is_refused" {
  command = plan

  variables {
    access = { people = { principal_arn = "arn:aws:iam::123456789012:role/people", groups = ["system:masters"] } }
  }

  expect_failures = [var.access]
}

run "a_public_address_without_a_range_is_refused" {
  command = plan

  variables {
    public_access_cidrs = ["203.0.113.7"]
  }

  expect_failures = [var.public_access_cidrs]
}

run "the_whole_internet_is_refused_as_a_private_network" {
  command = plan

  variables {
    private_access_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.private_access_cidrs]
}

run "an_unknown_addon_is_refused" {
  command = plan

  variables {
    addon_versions = { cni = "v1" }
  }

  expect_failures = [var.addon_versions]
}

run "a_retention_that_cloudwatch_does_not_have_is_refused" {
  command = plan

  variables {
    log_retention_days = 366
  }

  expect_failures = [var.log_retention_days]
}
