"""The page on AWS: what its commands name exists, and those that make secrets make the ones that pods mount."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from infra.terraform import overlays
from tests.infra.kubernetes.manifests import FOLDER, pods, render

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "infra" / "terraform"
PAGE = (ROOT / "docs" / "how-to" / "deploy-on-aws.md").read_text()
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [block.replace("\\\n", " ") for block in BLOCK.findall(PAGE)]
COMMANDS = "\n".join(BLOCKS)
CUSTOM = {  # of the AWS CLI itself, and in no API
    ("eks", "update-kubeconfig"): {"name"},
    ("ecr", "get-login-password"): set(),
}


def terraform_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each root module that Terraform runs in, and the words after it."""
    for folder, rest in re.findall(r"terraform -chdir=infra/terraform/(\S+) ([^|)\n]*)", COMMANDS):
        for environment in ("staging", "production") if "$environment" in folder else ("",):
            yield folder.replace("$environment", environment), shlex.split(rest.partition(" > ")[0])


def declared(kind: str, root: str) -> set[str]:
    text = "".join(path.read_text() for path in (TERRAFORM / root).glob("*.tf"))
    return set(re.findall(rf'^{kind} "(\w+)"', text, re.MULTILINE))


def test_terraform_runs_in_folders_that_are_there_with_outputs_and_variables_that_are_declared():
    roots = set()
    for root, words in terraform_commands():
        roots.add(root)
        options = dict(word.split("=", 1) for word in words if word.startswith("-") and "=" in word)
        if words[0] == "output":
            assert words[-1] in declared("output", root), root
        if words[0] == "init" and root != "bootstrap":
            assert options == {"-backend-config": "../../backend.hcl"}
        for variable in [word.removeprefix("-var=").split("=")[0] for word in words if word.startswith("-var=")]:
            assert variable in declared("variable", root), variable
    assert roots == {"bootstrap", *(f"environments/{name}" for name in ("shared", "staging", "production"))}


@pytest.mark.parametrize(
    ("root", "names"),
    [
        ("shared", ["repository", "billing_emails", "charges_alarm_usd", "database_keep_backups"]),
        (
            "production",
            ["operators", "public_access_cidrs", "alert_emails", "host", "prometheus", "elastic_deployment"],
        ),
    ],
)
def test_variables_that_the_text_names_are_declared(root, names):
    assert all(f"`{name}" in PAGE for name in names)
    assert set(names) <= declared("variable", f"environments/{root}")


def test_values_that_are_read_from_an_output_are_in_it():
    workload, shared = ((TERRAFORM / "environments" / name / "main.tf").read_text() for name in ("workload", "shared"))
    paths = {
        path for text in re.findall(r"jq -r (.*)", COMMANDS) for path in re.findall(r"(?:^|[(' ])\.([a-z][\w.]+)", text)
    }
    paths -= {"registry", "images"}  # of release.json; the former also of shared
    assert {"cluster", "database.host", "database.names.prefect", "database.admin_secret_arn"} <= paths
    for name in {name for path in paths for name in path.split(".")}:
        assert re.search(rf"\b{name}\s+=", workload), name
    assert re.search(r"\bregistry\s+=", shared)


def test_the_image_that_is_replaced_is_the_one_that_the_job_names(needs):
    needs("kustomize")
    [replaced] = re.findall(r'sed "s\|([^|]+)\|\$image\|"', COMMANDS)
    assert {each["image"] for pod in pods(render(FOLDER / "databases")) for each in pod.containers} == {replaced}


def test_calls_of_aws_are_those_of_its_api():
    calls = re.findall(r"\baws ([\w-]+) ([\w-]+)([^|)]*)", COMMANDS)
    assert len(calls) >= 5
    session = botocore.session.get_session()
    for service, operation, rest in calls:
        options = {word.split("=")[0] for word in re.findall(r"--([\w-]+)", rest)} - {"query", "output"}
        if (service, operation) in CUSTOM:
            assert options <= CUSTOM[service, operation]
            continue
        model = session.get_service_model(service)
        [found] = [name for name in model.operation_names if xform_name(name, "-") == operation]
        members = model.operation_model(found).input_shape.members
        assert options <= {xform_name(member, "-") for member in members}, operation


def test_files_and_folders_that_are_named_are_there():
    named = re.findall(r"\binfra/[\w./-]+", COMMANDS + " ".join(re.findall(r"`(infra/[^`]+)`", PAGE)))
    assert len(named) > 10
    for path in {path.rstrip("/.") for path in named} - {"infra/terraform/backend.hcl"}:
        assert (ROOT / path.replace("environments/$environment", "environments/staging")).exists(), path


def test_programs_of_the_repository_take_what_they_are_given():
    for module, rest in re.findall(r"python -m (infra\.[\w.]+) ?([^\n`]*)", COMMANDS):
        if module == "infra.terraform.overlays":
            assert rest == "$environment" and hasattr(overlays, "main")
        else:
            verb, *words = shlex.split(rest)
            command = [sys.executable, "-m", module, verb, "--help"]
            described = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            known = set(re.findall(r"^ +(--[\w-]+)", described, re.MULTILINE))
            assert {word for word in words if word.startswith("--")} <= known, verb


STUBS = {
    "terraform": "cat $OUTPUTS",
    "aws": """case "$*" in
  *put-secret-value*) cp "$(printf '%s' "$*" | sed 's#.*file://##')" $MADE/archive;;
  *slipway-shared-services*) cat $MADE/archive;;
  *) printf '{"username": "postgres", "password": "of RDS"}';;
esac""",
    "kubectl": """[ "${3-} ${4-} ${5-}" = "create secret generic" ] || exit 0
mkdir -p $MADE/secrets/$6
for option in "${@:7}"; do cp -r "${option#--from-file=}" $MADE/secrets/$6/; done""",
}


@pytest.fixture
def made(tmp_path: Path, needs: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the page's commands that make secrets, with stand-ins for Terraform, AWS and the cluster."""
    needs("jq")
    programs, folder = tmp_path / "bin", tmp_path / "made"
    programs.mkdir()
    folder.mkdir()
    outputs = {
        "cluster": "slipway-staging",
        "database": {
            "host": "db.example.org",
            "port": 5432,
            "admin_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds",
            "names": {"mlflow": "mlflow", "prefect": "prefect_staging"},
        },
    }
    (tmp_path / "outputs.json").write_text(json.dumps(outputs))
    for name, script in STUBS.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\nset -eu\n{script}\n")
        (programs / name).chmod(0o755)
    wanted = ("mktemp -d) && mkdir $services", "secret-id slipway-shared-services --query", "create secret generic")
    blocks = [block for block in BLOCKS if any(text in block for text in wanted)]
    assert len(blocks) == len(wanted)
    commands = "environment=staging\noutputs=$(terraform output)\n" + "\n".join(blocks)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "OUTPUTS": str(tmp_path / "outputs.json"), "MADE": str(folder)}
    env |= {"TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""  # no value is shown
    return folder / "secrets"


def test_the_secrets_that_it_makes_have_the_keys_that_pods_mount(made, needs):
    needs("kustomize")
    keys = {secret.name: {path.name for path in secret.rglob("*") if path.is_file()} for secret in made.iterdir()}
    needed = set(mounted(render(FOLDER / "overlays" / "staging") + render(FOLDER / "databases")))
    by_choice = {("slipway", "alert-secret"), ("slipway-s3", None)}
    assert {(name, key) for name, key in needed - by_choice if key not in keys.get(name, set())} == set()


def mounted(manifests: list[dict]) -> Iterator[tuple[str, str | None]]:
    """Yield name and key of every Secret that a pod mounts or has as a variable."""
    for pod in pods(manifests):
        for container in pod.containers:
            for env in container.get("env", []):
                if secret := env.get("valueFrom", {}).get("secretKeyRef"):
                    yield secret["name"], secret["key"]
            for source in container.get("envFrom", []):
                if "secretRef" in source:
                    yield source["secretRef"]["name"], None
        for volume in pod.spec.get("volumes", []):
            for item in volume.get("secret", {}).get("items", []):
                yield volume["secret"]["secretName"], item["key"]


def test_the_urls_of_the_databases_are_such_as_the_job_takes(made):
    script = runpy.run_path(str(FOLDER / "databases" / "create_databases.py"))
    mlflow, prefect = (script["read_url"](made / "slipway-databases" / name) for name in ("mlflow", "prefect"))
    assert (mlflow.username, mlflow.host, mlflow.port, mlflow.database) == ("mlflow", "db.example.org", 5432, "mlflow")
    assert (prefect.drivername, prefect.username, prefect.database) == (
        "postgresql+asyncpg",
        "prefect_staging",
        "prefect_staging",
    )
    assert script["read_login"](made / "slipway-database-admin" / "login.json") == ("postgres", "of RDS")
    assert mlflow.password != prefect.password and len(mlflow.password) == len(prefect.password) == 48
