"""AWS without AWS: the program of SLIPWAY_TEST_AWS answers as its API, and Terraform applies environments to it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import jmespath

from tests.support.servers import free_port

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / "infra" / "terraform"
START_SECONDS = 300  # some seconds alone; the machine may be busy with other tests
# What the servers accept and forget, or answer as nobody has set it (the tags of a launch template among those of its
# instances): a second plan would change it. It is left out of what is applied to them.
FORGOTTEN = {
    "modules/cluster": """
        resource "aws_eks_cluster" "this" {
          lifecycle {
            ignore_changes = [upgrade_policy]
          }
        }

        resource "aws_launch_template" "nodes" {
          lifecycle {
            ignore_changes = [tag_specifications]
          }
        }

        resource "aws_eks_node_group" "this" {
          lifecycle {
            ignore_changes = [launch_template, scaling_config[0].desired_size, update_config]
          }
        }
    """,
    "modules/database": """
        resource "aws_db_instance" "this" {
          monitoring_interval             = 0
          monitoring_role_arn             = null
          performance_insights_enabled    = false
          performance_insights_kms_key_id = null
        }

        resource "aws_db_parameter_group" "this" {
          lifecycle {
            ignore_changes = [parameter]
          }
        }
    """,
    "bootstrap": """
        resource "aws_s3_bucket_lifecycle_configuration" "state" {
          rule {
            id     = "versions"
            status = "Enabled"

            filter {}

            noncurrent_version_expiration {
              noncurrent_days = 90
            }
          }
        }
    """,
}
LISTED = {  # by service: calls that list what an environment makes, and where the list is in the response
    "ec2": {
        "describe_addresses": "Addresses[]",
        "describe_flow_logs": "FlowLogs[]",
        "describe_internet_gateways": "InternetGateways[]",
        "describe_launch_templates": "LaunchTemplates[]",
        "describe_nat_gateways": "NatGateways[?State!='deleted']",
        # moto keeps the interface of a NAT gateway that is deleted
        "describe_network_interfaces": "NetworkInterfaces[?Status!='available']",
        "describe_route_tables": "RouteTables[].Routes[]",
        "describe_security_groups": "SecurityGroups[]",
        "describe_subnets": "Subnets[]",
        "describe_vpc_endpoints": "VpcEndpoints[?State!='deleted']",
        "describe_vpc_peering_connections": "VpcPeeringConnections[?Status.Code!='deleted']",
        "describe_vpcs": "Vpcs[]",
    },
    "amp": {"list_workspaces": "workspaces[]"},
    "ecr": {"describe_repositories": "repositories[]"},
    "eks": {"list_clusters": "clusters[]"},
    "iam": {
        "list_open_id_connect_providers": "OpenIDConnectProviderList[]",
        "list_policies": "Policies[?!contains(Arn, ':aws:policy/')]",
        "list_roles": "Roles[]",
    },
    "kms": {
        "list_aliases": "Aliases[?!starts_with(AliasName, 'alias/aws/')]"
    },  # keys wait for 30 days, their aliases do not
    "logs": {"describe_log_groups": "logGroups[]"},
    "rds": {
        "describe_db_instances": "DBInstances[]",
        "describe_db_parameter_groups": "DBParameterGroups[]",
        "describe_db_snapshots": "DBSnapshots[]",
        "describe_db_subnet_groups": "DBSubnetGroups[]",
    },
    "s3": {"list_buckets": "Buckets[]"},
    "secretsmanager": {"list_secrets": "SecretList[]"},
    "sns": {"list_subscriptions": "Subscriptions[]", "list_topics": "Topics[]"},
    "ssm": {"describe_parameters": "Parameters[]"},
}


@dataclass(frozen=True)
class Aws:
    """The API; `env` is for boto3, the AWS CLI and Terraform, and leads EKS to another server."""

    env: Mapping[str, str]

    def allow_without_tls(self, bucket: str) -> None:
        """Remove the policy that refuses whoever comes without TLS: nobody reaches a server on this machine with it."""
        with mock.patch.dict(os.environ, self.env):
            boto3.client("s3").delete_bucket_policy(Bucket=bucket)

    def remove_repeated_workspaces(self, outputs: object) -> None:
        """Remove the workspaces of Prometheus that no output names. A request to make one that is sent again, as its
        response was late, makes another here: moto does not know the client's token, by which AWS makes one."""
        with mock.patch.dict(os.environ, self.env):
            client, known = boto3.client("amp"), json.dumps(outputs)
            for workspace in client.list_workspaces()["workspaces"]:
                if workspace["workspaceId"] not in known:
                    client.delete_workspace(workspaceId=workspace["workspaceId"])

    def resources(self) -> Counter[str]:
        """Count what there is, by the call that lists it."""
        found: Counter[str] = Counter()
        with mock.patch.dict(os.environ, self.env):
            for service, calls in LISTED.items():
                client = boto3.client(service)
                for call, path in calls.items():
                    pages = (
                        client.get_paginator(call).paginate()
                        if client.can_paginate(call)
                        else [getattr(client, call)()]
                    )
                    found[f"{service} {call}"] = sum(len(jmespath.search(path, page) or ()) for page in pages)
        return +found


@contextmanager
def started(program: Path, folder: Path) -> Iterator[Aws]:
    """Start both servers, and end them."""
    ports = [free_port(), free_port()]
    commands = [
        [str(program), "start", "--port", str(ports[0])],
        [str(program), "start", "--engine", "ministack", "--port", str(ports[1])],
    ]
    env = os.environ | {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}  # those that AWS has
    with (folder / "aws.log").open("wb") as log:
        servers = [subprocess.Popen(c, stdout=log, stderr=log, env=env, start_new_session=True) for c in commands]
    try:
        for port, server in zip(ports, servers, strict=True):
            _wait(port, server, folder / "aws.log")
        printed = subprocess.run(
            [str(program), "env", "--port", str(ports[0]), "--ministack-port", str(ports[1])],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        env = dict(re.findall(r"(\w+)=(\S+)", printed))
        yield Aws(env)
    finally:
        for server in servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, 9)
            server.wait()


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the AWS API did not start in {START_SECONDS} s:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


NOT_INTERACTIVE = ("-input=false", "-no-color", "-parallelism=20")


class TerraformError(AssertionError):
    """Terraform ended with an error; the message is its own."""


@dataclass(frozen=True)
class Terraform:
    """Terraform in a copy of `infra/terraform`, whose API is `aws`."""

    folder: Path
    aws: Aws

    @classmethod
    def copy(cls, folder: Path, aws: Aws) -> Terraform:
        """Copy it without anybody's state, beside the rules of Prometheus that it reads."""
        not_ours = shutil.ignore_patterns(".terraform", "*.tfstate*", "backend.hcl")
        for part in ("infra/terraform", "monitoring/prometheus"):
            shutil.copytree(ROOT / part, folder / part, ignore=not_ours)
        found = cls(folder / "infra" / "terraform", aws)
        for root, text in FORGOTTEN.items():
            (found.folder / root / "double_override.tf").write_text(text)
        return found

    def run(self, root: str, *arguments: str, ok: Sequence[int] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run Terraform in one root module, such as `environments/staging`."""
        ran = subprocess.run(
            ["terraform", f"-chdir={self.folder / root}", *arguments],
            env=os.environ | self.aws.env | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode not in ok:
            raise TerraformError(f"terraform {' '.join(arguments)} in {root}:\n{ran.stdout[-3000:]}\n{ran.stderr}")
        return ran

    def init(self, root: str) -> None:
        backend = ["-backend-config=../../backend.hcl"] if root.startswith("environments") else []
        self.run(root, "init", "-input=false", "-no-color", "-lockfile=readonly", *backend)

    def set(self, root: str, **variables: Any) -> None:
        """Set variables beside those of terraform.tfvars, before which they go."""
        (self.folder / root / "set.auto.tfvars.json").write_text(json.dumps(variables))

    def apply(self, root: str, *options: str) -> None:
        self.run(root, "apply", "-auto-approve", *NOT_INTERACTIVE, *options)

    def changes(self, root: str) -> list[str]:
        """Plan, and list what would be done to which resource."""
        ran = self.run(root, "plan", "-detailed-exitcode", *NOT_INTERACTIVE, ok=(0, 2))
        if ran.returncode == 0:
            return []
        return re.findall(r"^  # (.+ (?:will|must) be .+)$", ran.stdout, re.MULTILINE) or ["outputs"]

    def refused(self, root: str, command: str) -> str:
        """Return the message with which Terraform refuses to plan, apply or destroy."""
        approve = [] if command == "plan" else ["-auto-approve"]
        ran = self.run(root, command, *approve, *NOT_INTERACTIVE, ok=(1,))
        return re.sub(r"\s+", " ", ran.stderr.replace("│", " "))

    def destroy(self, root: str) -> None:
        self.run(root, "destroy", "-auto-approve", *NOT_INTERACTIVE)

    def output(self, root: str, name: str) -> str:
        return self.run(root, "output", "-raw", name).stdout

    def environment(self, root: str) -> dict:
        return json.loads(self.run(root, "output", "-json", "environment").stdout)

    def resources(self, root: str) -> list[str]:
        """List the addresses in the state, without data sources."""
        listed = self.run(root, "state", "list").stdout.split()
        return [address for address in listed if not re.search(r"(^|\.)data\.", address)]
