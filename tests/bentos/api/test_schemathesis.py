"""Schemathesis tests the server by its own document: answers conform to `/openapi.json`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bentos.server.processes import Server
from tests.support import bundles

HERE = Path(__file__).parent
EXAMPLES = 40  # for each operation and phase, each mutated a few times
SECONDS = 240
PATIENT = {"deadline_ms": 20_000, "max_instances": 50}  # time is not what is tested, on a busy machine either


def schemathesis(server: Server, folder: Path, *more: str) -> str:
    """Return the output of `schemathesis run`; fail with it if a check failed."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    command += [f"http://127.0.0.1:{server.port}/openapi.json", "--mode=all", "--no-color"]
    command += ["--seed=4", "--generation-deterministic", f"--max-examples={EXAMPLES}"]
    command += ["--continue-on-failure", *more]
    env = os.environ | {"SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    lines = [line[:1000] for line in (ran.stdout + ran.stderr).splitlines()]  # a body may be megabytes
    assert ran.returncode == 0, "\n".join(lines)
    return "\n".join(lines)


@pytest.mark.timeout(2 * SECONDS)
def test_the_server_answers_as_its_openapi_document_states(serve, var: Path, tmp_path: Path) -> None:
    for schema in (bundles.TABULAR, bundles.IMAGES):
        bundles.promote(var, tmp_path / schema.usecase, schema, serving=PATIENT)
    server = serve("loans", "shapes", SLIPWAY_MAX_INSTANCES="100")
    output = schemathesis(server, tmp_path)
    assert "Operations:       12 selected" in output
    assert "Traceback" not in server.log.read_text()


@pytest.mark.timeout(2 * SECONDS)
def test_with_credentials_each_route_needs_one_as_documented(serve, var: Path, tmp_path: Path, key) -> None:
    bundles.promote(var, tmp_path / "prices", bundles.REGRESSION, serving=PATIENT)
    credential = key("schemathesis", "admin", rate="1000000/second")
    server = serve("prices", SLIPWAY_MAX_INSTANCES="100", SLIPWAY_OPEN_DOCS="true")
    few = "--max-examples=15"  # what is answered is tested above
    output = schemathesis(server, tmp_path, f"--header=Authorization: Bearer {credential}", few)
    assert "Operations:       12 selected" in output
    assert "Traceback" not in server.log.read_text()
