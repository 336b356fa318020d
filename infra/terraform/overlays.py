"""Write what an overlay of Kustomize takes from Terraform: `python -m infra.terraform.overlays staging`.

The component `infra/kubernetes/overlays/ENVIRONMENT/aws` names the buckets, the region, the host and the search of that
environment. It is committed with examples, so that the overlay renders without an account, and written again here from
the output `environment`. It holds no secret.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "infra" / "kubernetes" / "overlays"
ENVIRONMENTS = ROOT / "infra" / "terraform" / "environments"
HEADER = """\
# What this environment has in AWS. From Terraform's outputs: python -m infra.terraform.overlays {environment}
"""


class OutputsError(Exception):
    """The outputs cannot be used; the message says what to do."""


class Outputs(msgspec.Struct, frozen=True):
    """Terraform's output `environment`, as far as an overlay takes it."""

    region: str
    log_url: str
    artifacts_url: str
    host: str | None = None
    search_url: str | None = None


def read_outputs(text: str | bytes, source: str) -> Outputs:
    """Return the outputs in this JSON, which `source` names in messages."""
    try:
        return msgspec.json.decode(text, type=Outputs)
    except msgspec.DecodeError as error:
        raise OutputsError(
            f"{source} is not the output `environment` of an applied environment: {error}. "
            "Run terraform apply in it, or give its JSON: --outputs FILE"
        ) from None


def terraform_output(environment: str) -> bytes:
    """Return the output `environment` of the state that `terraform init` has chosen."""
    folder = ENVIRONMENTS / environment
    command = ["terraform", f"-chdir={folder}", "output", "-json", "environment"]
    try:
        ran = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise OutputsError("terraform is not on PATH: install Terraform 1.11, or give --outputs FILE") from None
    if ran.returncode:
        raise OutputsError(f"terraform output failed in {folder.relative_to(ROOT)}:\n{ran.stderr.decode().strip()}")
    return ran.stdout


class _Indented(yaml.SafeDumper):
    """Lists are indented below their key, as in the files that people write."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def component(environment: str, outputs: Outputs) -> str:
    """Return the component of the environment's overlay, as YAML."""
    settings = {
        "AWS_REGION": outputs.region,
        "SLIPWAY_LOG_URL": outputs.log_url,
        "MLFLOW_ARTIFACTS_DESTINATION": outputs.artifacts_url,
    }
    parts, patches = ["deployers", "pod-identity"], []
    if outputs.search_url:
        parts.append("elasticsearch")
        # A public authority has signed the certificate of a managed search.
        search = {"/data/ELASTICSEARCH_URL": outputs.search_url, "/data/ELASTICSEARCH_CA_CERTS": ""}
        patches.append(_replacing("ConfigMap", "elasticsearch", search))
    if outputs.host:
        host = {"/spec/rules/0/host": outputs.host, "/spec/tls/0/hosts/0": outputs.host}
        patches.append(_replacing("Ingress", "serving", host))
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "components": [f"../../../components/{part}" for part in parts],
        "configMapGenerator": [
            {
                "name": "slipway",
                "namespace": "slipway",
                "behavior": "merge",
                "literals": [f"{name}={value}" for name, value in settings.items()],
            }
        ],
    }
    if patches:
        document["patches"] = patches
    return HEADER.format(environment=environment) + yaml.dump(document, Dumper=_Indented, sort_keys=False, width=1000)


def _replacing(kind: str, name: str, values: dict[str, str]) -> dict[str, object]:
    """Return a patch that replaces values of an object by their paths."""
    operations = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
    return {"target": {"kind": kind, "name": name}, "patch": json.dumps(operations)}


def main(arguments: Sequence[str]) -> int:
    """Write the component, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.terraform.overlays", description=__doc__.splitlines()[0])
    parser.add_argument("environment", choices=["staging", "production"])
    parser.add_argument("--outputs", metavar="FILE", help="JSON of the output `environment`; - reads standard input")
    given = parser.parse_args(arguments)
    file = OVERLAYS / given.environment / "aws" / "kustomization.yaml"
    try:
        file.write_text(component(given.environment, _read(given.environment, given.outputs)))
    except OutputsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"wrote {file.relative_to(ROOT)}\n")
    return 0


def _read(environment: str, source: str | None) -> Outputs:
    if source is None:
        return read_outputs(terraform_output(environment), f"the output of {environment}")
    if source == "-":
        return read_outputs(sys.stdin.read(), "standard input")
    try:
        return read_outputs(Path(source).read_bytes(), source)
    except OSError as error:
        raise OutputsError(f"{source} cannot be read ({error.strerror}): --outputs names a file") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
