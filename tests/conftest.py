"""Fixtures of all tests: a state folder for each, no server that it did not start, and a reason for each skip."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from slipway.settings import settings

pytest_plugins = ["tests.support.sharing", "tests.support.distribution", "tests.support.servers", "tests.support.s3"]

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
QUIET = {
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "MPLBACKEND": "Agg",
}


def _isolate(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Provide a fresh state folder, without the settings or servers of the person who runs the tests."""
    from tests.support.servers import PREFECT_LOGIN

    for name in os.environ:
        if name.startswith("SLIPWAY_") and not name.startswith("SLIPWAY_TEST_"):
            patch.delenv(name)
    patch.delenv("ELASTICSEARCH_URL", raising=False)
    patch.setenv("SLIPWAY_VAR", str(folder / "var"))
    patch.setenv("SLIPWAY_USECASES", str(ROOT / "usecases"))
    patch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    patch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")
    patch.setenv("PREFECT_API_AUTH_STRING", PREFECT_LOGIN)
    for name, value in QUIET.items():
        patch.setenv(name, value)
    settings.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _session_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        _isolate(patch, tmp_path_factory.mktemp("session"))
        yield
    settings.cache_clear()


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the `SLIPWAY_VAR` of this test. After `monkeypatch.setenv(…)` call `settings.cache_clear()`."""
    with mock.patch.dict(os.environ):  # whatever the test or the code in it does to them
        _isolate(monkeypatch, tmp_path)
        yield tmp_path / "var"
    settings.cache_clear()


def _german_data() -> str | None:
    path = os.environ.get("SLIPWAY_TEST_GERMAN_DATA")
    return path if path and Path(path).is_file() else None


def _kubeconfig() -> str | None:
    path = os.environ.get("KUBECONFIG")
    if not path or not Path(path).is_file() or not shutil.which("kubectl"):
        return None
    answer = subprocess.run(["kubectl", "get", "--raw", "/readyz"], capture_output=True, timeout=30, check=False)
    return path if answer.returncode == 0 else None


def _aws() -> str | None:
    path = os.environ.get("SLIPWAY_TEST_AWS")
    return path if path and Path(path).is_file() else None


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


NEEDS: dict[str, tuple[Callable[[], str | None], str]] = {
    "aws": (_aws, "set SLIPWAY_TEST_AWS to a program whose `start --port PORT` answers as S3, such as moto's server"),
    "chromium": (lambda: shutil.which("chromium"), "install Debian's package chromium"),
    "kustomize": (lambda: shutil.which("kustomize"), "put kustomize 5 on PATH (kubectl.docs.kubernetes.io)"),
    "kubeconform": (lambda: shutil.which("kubeconform"), "put kubeconform on PATH (github.com/yannh/kubeconform)"),
    "kubectl": (lambda: shutil.which("kubectl"), "put kubectl on PATH"),
    "a cluster": (_kubeconfig, "set KUBECONFIG to a cluster's whose API server answers"),
    "go": (lambda: shutil.which("go"), "install Go, whose module proxy has the Prometheus Operator's definitions"),
    "promtool": (lambda: shutil.which("promtool"), "install Debian's package prometheus"),
    "prometheus-alertmanager": (
        lambda: shutil.which("prometheus-alertmanager"),
        "install Debian's package prometheus-alertmanager",
    ),
    "curl": (lambda: shutil.which("curl"), "install curl"),
    "redis-server": (lambda: shutil.which("redis-server"), "install Debian's package redis-server"),
    "unshare": (_namespaces, "run the tests as root, with namespaces: for containers next to each other"),
    "docker": (_docker, "install Docker and start its engine"),
    "large images": (
        lambda: os.environ.get("SLIPWAY_TEST_LARGE_IMAGES"),
        "set SLIPWAY_TEST_LARGE_IMAGES=1 to build the platform's image and the one for GPUs: 7 GB, some minutes",
    ),
    "german.data": (_german_data, "set SLIPWAY_TEST_GERMAN_DATA to the UCI file german.data"),
}


@pytest.fixture(scope="session")
def needs() -> Callable[[str], Path]:
    """`needs("chromium")` returns its path, or skips the test with a reason; a skip is a failure in CI."""

    def need(what: str) -> Path:
        find, remedy = NEEDS[what]
        found = find()
        if found:
            return Path(found)
        if os.environ.get("SLIPWAY_TEST_NO_SKIP") == "1":
            pytest.fail(f"{what} is missing, and SLIPWAY_TEST_NO_SKIP=1 allows no skip: {remedy}")
        pytest.skip(f"{what} is missing: {remedy}")

    return need


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report why tests were skipped, and how many for each reason."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number} skipped: {reason.removeprefix('Skipped: ')}")


@dataclass(frozen=True)
class Ran:
    """Result of a command: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`cli("train", "digits", "--json")` runs the command line in this process."""
    from slipway.cli import main

    def run(*args: str) -> Ran:
        capsys.readouterr()
        mask = os.umask(0)
        os.umask(mask)
        try:
            with mock.patch.dict(os.environ), pytest.raises(SystemExit) as ended:
                main(list(args))
        finally:
            os.umask(mask)  # a command changes that of its process
        written = capsys.readouterr()
        return Ran(int(ended.value.code or 0), written.out, written.err)

    return run
