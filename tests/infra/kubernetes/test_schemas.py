"""kubeconform accepts every manifest, with schemas of the API server's OpenAPI, without a cluster."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable

import pytest
import yaml

from tests.infra.kubernetes import schemas
from tests.infra.kubernetes.cluster import kubectl, operator_definitions
from tests.infra.kubernetes.manifests import COMPONENTS, Manifest, one

Check = Callable[[list[Manifest]], subprocess.CompletedProcess]


@pytest.fixture(scope="module")
def kubeconform(needs, tmp_path_factory) -> Check:
    needs("a cluster")
    needs("go")
    program = str(needs("kubeconform"))
    openapi = json.loads(kubectl("get", "--raw", "/openapi/v2").stdout)
    location = schemas.write(tmp_path_factory.mktemp("schemas"), openapi, operator_definitions())

    def check(manifests: list[Manifest]) -> subprocess.CompletedProcess:
        return subprocess.run(
            [program, "-strict", "-summary", "-output", "json", "-schema-location", location],
            input=yaml.safe_dump_all(manifests),
            capture_output=True,
            text=True,
            check=False,
        )

    return check


def assert_accepted(kubeconform: Check, manifests: list[Manifest]) -> None:
    checked = kubeconform(manifests)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)["summary"] == {"valid": len(manifests), "invalid": 0, "errors": 0, "skipped": 0}


def test_kubeconform_accepts_everything_that_is_applied(kubeconform, manifests):
    assert_accepted(kubeconform, manifests)


@pytest.mark.parametrize("component", [name for name in COMPONENTS if name != "shared-storage"])
def test_kubeconform_accepts_each_component(kubeconform, with_components, component):
    assert_accepted(kubeconform, with_components("local", component))


def test_kubeconform_refuses_what_is_misspelt_or_of_another_type(kubeconform, rendered):
    serving = one(rendered("local"), "Deployment", "serving")
    misspelt, mistyped = copy.deepcopy(serving), copy.deepcopy(serving)
    misspelt["spec"]["template"]["spec"]["containers"][0]["redinessProbe"] = {}
    mistyped["spec"]["replicas"] = "two"
    for wrong, message in ((misspelt, "redinessProbe"), (mistyped, "replicas")):
        checked = kubeconform([wrong])
        assert checked.returncode == 1
        assert message in checked.stdout
