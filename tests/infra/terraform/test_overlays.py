"""Terraform's outputs become the component `aws` of an overlay."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from infra.terraform import overlays
from tests.infra.kubernetes.manifests import FOLDER, Manifest, of_kind, one, render

OUTPUTS = {
    "region": "eu-west-1",
    "log_url": "s3://slipway-production-log-111122223333/log",
    "artifacts_url": "s3://slipway-shared-artifacts-111122223333/artifacts",
    "host": "models.example.org",
    "search_url": "https://search.example.org:9243",
    "cluster": "slipway-production",
}


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the manifests in a folder of the test, whose overlays have a component of their own."""
    folder = tmp_path / "infra" / "kubernetes"
    for part in ("base", "components"):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(FOLDER / part)
    for overlay in ("staging", "production"):
        (folder / "overlays" / overlay / "aws").mkdir(parents=True)
        for file in (FOLDER / "overlays" / overlay).glob("*.yaml"):
            (folder / "overlays" / overlay / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(overlays, "ROOT", tmp_path)
    monkeypatch.setattr(overlays, "OVERLAYS", folder / "overlays")
    return folder


@pytest.fixture
def written(kubernetes: Path, needs: Callable[[str], Path], tmp_path: Path) -> Callable[..., list[Manifest]]:
    """`written("staging", host=None)` is the overlay with these outputs."""
    needs("kustomize")

    def write(environment: str, **changed: object) -> list[Manifest]:
        file = tmp_path / "outputs.json"
        file.write_text(json.dumps(OUTPUTS | changed))
        assert overlays.main([environment, "--outputs", str(file)]) == 0
        return render(kubernetes / "overlays" / environment)

    return write


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_pods_get_the_buckets_and_the_region(written, environment):
    settings = one(written(environment), "ConfigMap", "slipway")["data"]
    assert settings["SLIPWAY_LOG_URL"] == OUTPUTS["log_url"]
    assert settings["MLFLOW_ARTIFACTS_DESTINATION"] == OUTPUTS["artifacts_url"]
    assert settings["AWS_REGION"] == "eu-west-1"
    assert settings["SLIPWAY_ENVIRONMENT"] == environment


def test_the_ingress_gets_the_host_and_its_certificate(written):
    ingress = one(written("production"), "Ingress", "serving")["spec"]
    assert [rule["host"] for rule in ingress["rules"]] == ["models.example.org"]
    assert [tls["hosts"] for tls in ingress["tls"]] == [["models.example.org"]]


def test_pods_get_the_search_only_where_there_is_one(written):
    maps = of_kind(written("staging"), "ConfigMap")
    [search] = [found["data"] for found in maps if found["metadata"]["name"].startswith("elasticsearch-")]
    assert search == {"ELASTICSEARCH_URL": OUTPUTS["search_url"], "ELASTICSEARCH_CA_CERTS": ""}
    names = {manifest["metadata"]["name"] for manifest in written("staging", search_url=None)}
    assert [name for name in names if "elasticsearch" in name] == []


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_pods_reach_the_agent_that_has_their_roles(written, environment):
    [rule] = one(written(environment), "NetworkPolicy", "pod-identity")["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "169.254.170.23/32"}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 80}]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_committed_component_is_one_that_the_command_writes(environment):
    file = FOLDER / "overlays" / environment / "aws" / "kustomization.yaml"
    found = yaml.safe_load(file.read_text())
    literals = dict(literal.split("=", 1) for literal in found["configMapGenerator"][0]["literals"])
    [host] = {operation["value"] for patch in found.get("patches", []) for operation in json.loads(patch["patch"])} or [
        None
    ]
    outputs = overlays.Outputs(
        region=literals["AWS_REGION"],
        log_url=literals["SLIPWAY_LOG_URL"],
        artifacts_url=literals["MLFLOW_ARTIFACTS_DESTINATION"],
        host=host,
    )
    assert file.read_text() == overlays.component(environment, outputs)


def test_outputs_are_read_from_standard_input(kubernetes, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(OUTPUTS)))
    assert overlays.main(["staging", "--outputs", "-"]) == 0
    assert capsys.readouterr().out == "wrote infra/kubernetes/overlays/staging/aws/kustomization.yaml\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Input data was truncated"),
        ("{}", "missing required field `region`"),
        (json.dumps(OUTPUTS | {"log_url": 3}), "Expected `str`, got `int` - at `$.log_url`"),
    ],
)
def test_other_json_is_refused_with_what_to_do_and_nothing_is_written(kubernetes, tmp_path, capsys, text, message):
    (tmp_path / "outputs.json").write_text(text)
    assert overlays.main(["staging", "--outputs", str(tmp_path / "outputs.json")]) == 1
    error = capsys.readouterr().err
    assert message in error and "Run terraform apply" in error
    assert not list((kubernetes / "overlays" / "staging" / "aws").iterdir())


def test_a_file_that_is_missing_is_named(kubernetes, capsys):
    assert overlays.main(["staging", "--outputs", "nowhere.json"]) == 1
    assert capsys.readouterr().err == (
        "error: nowhere.json cannot be read (No such file or directory): --outputs names a file\n"
    )


def test_without_terraform_the_message_says_what_to_install(kubernetes, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert overlays.main(["staging"]) == 1
    assert "terraform is not on PATH: install Terraform 1.11" in capsys.readouterr().err
