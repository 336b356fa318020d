"""What tests need beside Python's packages, and how to get it.

`python -m tests.support.needs` prints what this machine lacks. With names it looks at these only, and ends with 1 if
one of them is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def _german_data() -> str | None:
    path = os.environ.get("SLIPWAY_TEST_GERMAN_DATA")
    return path if path and Path(path).is_file() else None


def _kubeconfig() -> str | None:
    path = os.environ.get("KUBECONFIG")
    if not path or not Path(path).is_file() or not shutil.which("kubectl"):
        return None
    answer = subprocess.run(["kubectl", "get", "--raw", "/readyz"], capture_output=True, timeout=30, check=False)
    return path if answer.returncode == 0 else None


def _program(variable: str) -> Callable[[], str | None]:
    """Make the search for a program that a variable names."""
    return lambda: path if (path := os.environ.get(variable)) and Path(path).is_file() else None


def _namespaces() -> str | None:
    """Return the path of `unshare`, if this process may mount volumes and have its own pids with it."""
    path = shutil.which("unshare")
    kinds = (["--mount", "--pid", "--fork"], ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"])
    works = path and not any(subprocess.run([path, *kind, "true"], capture_output=True).returncode for kind in kinds)
    return path if works else None


def _docker() -> str | None:
    path = shutil.which("docker")
    answered = path and subprocess.run([path, "version"], capture_output=True)
    return path if answered and answered.returncode == 0 else None


def _postgres() -> str | None:
    """Return the path of `initdb`, beside which is `postgres`; Debian keeps both outside of PATH."""
    of_debian = Path("/usr/lib/postgresql").glob("*/bin/initdb") if shutil.which("pg_ctlcluster") else ()
    return shutil.which("initdb") or max(map(str, of_debian), default=None)


def _npm() -> str | None:
    """Return the path of `npm`, if its registry answers."""
    path = shutil.which("npm")
    answered = path and subprocess.run([path, "view", "typescript", "name"], capture_output=True)
    return path if answered and answered.returncode == 0 else None


NEEDS: dict[str, tuple[Callable[[], str | None], str]] = {
    "aws": (
        _program("SLIPWAY_TEST_AWS"),
        "set SLIPWAY_TEST_AWS to a program that answers as AWS, such as .ci/aws, which starts moto and MiniStack",
    ),
    "elasticsearch": (
        _program("SLIPWAY_TEST_ELASTICSEARCH"),
        "set SLIPWAY_TEST_ELASTICSEARCH to a program whose `--port PORT`, with `--home FOLDER` for its data, runs "
        "Elasticsearch 8.19 without security until it is stopped, such as a script around `docker run`",
    ),
    "opensearch": (
        _program("SLIPWAY_TEST_OPENSEARCH"),
        "set SLIPWAY_TEST_OPENSEARCH to a program whose `--port PORT` runs OpenSearch 3 without security until it is "
        "stopped, such as a script around `docker run`",
    ),
    "chromium": (lambda: shutil.which("chromium"), "install Debian's package chromium"),
    "kustomize": (lambda: shutil.which("kustomize"), "put kustomize 5 on PATH (kubectl.docs.kubernetes.io)"),
    "kubeconform": (lambda: shutil.which("kubeconform"), "put kubeconform on PATH (github.com/yannh/kubeconform)"),
    "kubectl": (lambda: shutil.which("kubectl"), "put kubectl on PATH (kubernetes.io/docs/tasks/tools)"),
    "a cluster": (_kubeconfig, "set KUBECONFIG to that of a test cluster, such as kind's, whose API server answers"),
    "go": (
        lambda: shutil.which("go"),
        "install Go 1.24 (go.dev/doc/install), whose module proxy has the Prometheus Operator's definitions",
    ),
    "terraform": (
        lambda: shutil.which("terraform"),
        "install Terraform 1.11 (developer.hashicorp.com/terraform/install)",
    ),
    "tflint": (lambda: shutil.which("tflint"), "put tflint on PATH (github.com/terraform-linters/tflint)"),
    "checkov": (lambda: shutil.which("checkov"), "install checkov in an environment of its own: pipx install checkov"),
    "act": (lambda: shutil.which("act"), "put act 0.2.80 or newer on PATH (nektosact.com/installation)"),
    "cosign": (
        lambda: shutil.which("cosign"),
        "put cosign 2.6 on PATH (docs.sigstore.dev/cosign/system_config/installation)",
    ),
    "docker-registry": (lambda: shutil.which("docker-registry"), "install Debian's package docker-registry"),
    "promtool": (lambda: shutil.which("promtool"), "install Debian's package prometheus"),
    "prometheus": (lambda: shutil.which("prometheus"), "install Debian's package prometheus"),
    "prometheus-alertmanager": (
        lambda: shutil.which("prometheus-alertmanager"),
        "install Debian's package prometheus-alertmanager",
    ),
    "npm": (
        _npm,
        "install Node.js 18 or newer (nodejs.org), whose npm can reach a registry with Grafana's types and axe-core",
    ),
    "curl": (lambda: shutil.which("curl"), "install curl"),
    "java": (lambda: shutil.which("java"), "install a JDK of Java 17 or newer, such as Debian's default-jdk-headless"),
    "postgres": (_postgres, "install Debian's package postgresql"),
    "redis-server": (lambda: shutil.which("redis-server"), "install Debian's package redis-server"),
    "actionlint": (lambda: shutil.which("actionlint"), "put actionlint on PATH (github.com/rhysd/actionlint)"),
    "zizmor": (lambda: shutil.which("zizmor"), "install zizmor, for example with `uv tool install zizmor`"),
    "jq": (lambda: shutil.which("jq"), "install jq"),
    "shellcheck": (lambda: shutil.which("shellcheck"), "install Debian's package shellcheck"),
    "unshare": (_namespaces, "run the tests as root, with namespaces: for containers next to each other"),
    "docker": (_docker, "install Docker (docs.docker.com/engine/install) and start its engine"),
    "large images": (
        lambda: os.environ.get("SLIPWAY_TEST_LARGE_IMAGES"),
        "set SLIPWAY_TEST_LARGE_IMAGES=1 to build the platform's image and the one for GPUs: 7 GB, some minutes",
    ),
    "german.data": (
        _german_data,
        "set SLIPWAY_TEST_GERMAN_DATA to the file german.data (archive.ics.uci.edu/dataset/144)",
    ),
}


def main(names: Sequence[str]) -> int:
    """Print a line for each that is missing, and return the exit code."""
    missing = [name for name in names or NEEDS if not NEEDS[name][0]()]
    for name in missing:
        sys.stdout.write(f"{name}: {NEEDS[name][1]}\n")
    return 1 if missing and names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
