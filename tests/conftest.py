"""Fixtures of all tests: a state folder for each, no server that it did not start, and a reason for each skip."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from slipway.settings import settings
from tests.support.needs import NEEDS

pytest_plugins = [
    "tests.support.sharing",
    "tests.support.distribution",
    "tests.support.garbage",
    "tests.support.servers",
    "tests.support.s3",
    "tests.support.search_servers",
    "tests.support.step_summary",
]

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
    for name in ("URL", "API_KEY", "API_KEY_FILE", "CA_CERTS"):
        patch.delenv(f"ELASTICSEARCH_{name}", raising=False)
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
        root = logging.getLogger()
        handlers = root.handlers[:]
        try:
            with mock.patch.dict(os.environ), pytest.raises(SystemExit) as ended:
                main(list(args))
        finally:
            os.umask(mask)  # a command changes that of its process, and its log
            root.handlers[:] = handlers
        written = capsys.readouterr()
        return Ran(int(ended.value.code or 0), written.out, written.err)

    return run
