"""Each environment is applied to the AWS API, planned again without changes, and destroyed without a trace.

What the API's doubles do not know is left out here, and planned by the modules' own tests: Managed Grafana, the
delivery of alerts and the budget by variables (`WITHOUT`, `SHARED`), what they forget by overrides (`FORGOTTEN`).
`SLIPWAY_TEST_ALL_ENVIRONMENTS=1` adds production to what is applied.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bentos.images.bento import bento_name
from infra.delivery.images.plan import PLATFORM_IMAGES
from infra.terraform import overlays
from tests.infra.terraform.aws_double import SOURCES, Aws, Terraform, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ENVIRONMENTS = SOURCES / "environments"
APPLIED = ("staging", "production") if os.environ.get("SLIPWAY_TEST_ALL_ENVIRONMENTS") == "1" else ("staging",)
# Managed Grafana and budgets end the provider's process at the doubles, and Alertmanager's routes are unknown to them.
WITHOUT = {"grafana": False, "notifications": False}
ACCOUNT = "123456789012"  # moto's
SHARED = {"repository": "octo/slipway", "monthly_budget_usd": None}


@pytest.fixture(scope="module")
def aws(needs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with started(needs("aws"), tmp_path_factory.mktemp("aws")) as found:
        yield found


@pytest.fixture(scope="module")
def terraform(needs: Callable[[str], Path], aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Provide Terraform with a bucket for its state, made by the bootstrap, as the first person does."""
    needs("terraform")
    found = Terraform.copy(tmp_path_factory.mktemp("terraform"), aws)
    found.init("bootstrap")
    found.apply("bootstrap")
    backend = found.output("bootstrap", "backend")
    aws.allow_without_tls(f"slipway-state-{ACCOUNT}")
    (found.folder / "backend.hcl").write_text(f"{backend}\nuse_path_style = true\n")  # the API's host is an address
    return found


@pytest.fixture(scope="module")
def begin(terraform: Terraform, aws: Aws) -> Counter[str]:
    """Count what there is before any environment: the state's bucket and key, and what every account has."""
    return aws.resources()


@pytest.fixture(scope="module")
def shared(terraform: Terraform, begin: Counter[str]) -> Terraform:
    root = "environments/shared"
    terraform.init(root)
    terraform.set(root, **SHARED)
    terraform.apply(root)
    return terraform


def code(environment: str) -> dict[str, str]:
    """Return the code of an environment by file, with its name left out."""
    files = {path.name: path.read_text() for path in (ENVIRONMENTS / environment).glob("*.tf")}
    return {name: re.sub("staging|production", "ENVIRONMENT", text) for name, text in files.items()}


def test_staging_and_production_differ_in_their_variables_only():
    assert code("staging") == code("production")
    assert {"main.tf", "variables.tf", "outputs.tf", "versions.tf"} == code("staging").keys()


def variables(environment: str) -> dict[str, str]:
    text = (ENVIRONMENTS / environment / "terraform.tfvars").read_text()
    return dict(re.findall(r"^(\w+) += (.*)$", text, re.MULTILINE))


def test_production_is_protected_and_each_network_has_addresses_of_its_own():
    assert variables("production")["protected"] == variables("shared")["protected"] == "true"
    networks = [variables(name)["cidr"] for name in ("staging", "production")]
    assert variables("shared")["client_cidrs"] == f"[{', '.join(networks)}]"
    assert len({'"10.0.0.0/16"', *networks}) == 3


def test_pods_that_get_a_role_are_those_of_the_manifests():
    rights = (ENVIRONMENTS / "workload" / "rights.tf").read_text()
    accounts = set(re.findall(r"^    ([\w-]+) = (?:local|concat)", rights, re.MULTILINE))
    base = SOURCES.parent / "kubernetes" / "base"
    there = {
        name
        for file in base.rglob("service-account*.yaml")
        for name in re.findall(r"^  name: (\S+)$", file.read_text(), re.MULTILINE)
    }
    assert accounts == {"serving", "watch", "mlflow", "flow-run"} <= there


def test_shared_is_applied_and_planned_again_without_changes(shared: Terraform):
    assert shared.changes("environments/shared") == []
    environment = shared.environment("environments/shared")
    assert re.fullmatch(r"\d+\.dkr\.ecr\.eu-central-1\.amazonaws\.com/slipway", environment["registry"])
    assert environment["artifacts_url"].startswith("s3://slipway-shared-artifacts-")
    repositories = {arn.partition("repository/slipway/")[2] for arn in environment["repository_arns"]}
    assert repositories == {*PLATFORM_IMAGES, *map(bento_name, json.loads(variables("shared")["use_cases"]))}


@pytest.mark.parametrize("environment", APPLIED)
def test_an_environment_is_applied_planned_without_changes_and_destroyed_without_a_trace(shared, aws, environment):
    root, before = f"environments/{environment}", aws.resources()
    shared.init(root)
    shared.set(root, **WITHOUT)
    shared.apply(root)
    assert shared.changes(root) == []
    outputs = shared.environment(root)
    aws.remove_repeated_workspaces(outputs)
    assert aws.resources()["amp list_workspaces"] == 1
    assert outputs["cluster"] == f"slipway-{environment}"
    component = overlays.component(environment, overlays.read_outputs(json.dumps(outputs), "the test"))
    assert outputs["log_url"] in component and outputs["artifacts_url"] in component
    if environment == "production":
        assert "lifecycle.prevent_destroy" in shared.refused(root, "destroy")
        shared.run(root, "state", "rm", "module.workload.module.cluster.terraform_data.protection[0]")
        shared.set(root, **WITHOUT, protected=False)
        shared.apply(root)
    shared.destroy(root)
    assert shared.resources(root) == []
    assert aws.resources() == before


def test_variables_that_are_wrong_fail_at_plan_with_what_to_set(shared: Terraform):
    root = "environments/staging"
    shared.init(root)
    shared.set(
        root, operators=[], nat="none", host="https://slipway.example.org/v1", public_access_cidrs=["everywhere"]
    )
    message = shared.refused(root, "plan")
    for sentence in (
        "set at least one ARN of an IAM role, such as arn:aws:iam::123456789012:role/Operators",
        'nat is "none": set one or each',
        "set a name such as slipway.example.org, without https:// and path",
    ):
        assert sentence in message


def test_a_variable_that_is_missing_fails_at_plan_by_its_name(shared: Terraform):
    shared.init("environments/staging")
    values = shared.folder / "environments" / "staging" / "terraform.tfvars"
    text = values.read_text()
    values.write_text(re.sub(r"^operators.*\n", "", text, flags=re.MULTILINE))
    try:
        shared.set("environments/staging")
        message = shared.refused("environments/staging", "plan")
    finally:
        values.write_text(text)
    assert 'The root module input variable "operators" is not set' in message


def test_a_database_that_is_protected_refuses_to_be_deleted_and_shared_leaves_no_trace_after_that(shared, aws, begin):
    root = "environments/shared"
    assert "deletion protection" in shared.refused(root, "destroy").lower()
    shared.set(root, **SHARED, protected=False, database_keep_backups=False)
    # These alone: the refused destruction took what is not protected, and a deleted secret keeps its name for weeks
    shared.apply(root, "-target=module.database", "-target=module.storage")
    shared.destroy(root)
    assert shared.resources(root) == []
    assert aws.resources() == begin
