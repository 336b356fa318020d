"""The shipper's and the platform's image, as `make images` builds them."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.bentos.images.conftest import ROOT
from tests.infra.images.containers import BASE, READ_ONLY, docker, inspected, shell

SHIP, PLATFORM = "slipway-ship:test", "slipway-platform:test"


@pytest.fixture(scope="module", autouse=True)
def images(needs):
    needs("docker")
    needs("large images")
    argv = ["make", "images", f"BASE={BASE}", f"SHIP={SHIP}", f"PLATFORM={PLATFORM}"]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    yield
    docker("image", "rm", "--force", "--no-prune", SHIP, PLATFORM, check=False)


@pytest.mark.parametrize("image", [SHIP, PLATFORM])
def test_it_runs_unprivileged_and_installs_nothing(image):
    config = inspected(image)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["Labels"]["org.opencontainers.image.base.name"] == BASE
    assert len(config["Labels"]["org.opencontainers.image.revision"]) == 40
    assert not shell(
        image, "for tool in gcc cc make git pip uv; do command -v $tool; done; find / -name '*.whl' 2>/dev/null; true"
    )
    assert shell(image, "find / -xdev -user slipway 2>/dev/null; true").split() == ["/var/lib/slipway"]


@pytest.mark.parametrize("image", [SHIP, PLATFORM])
def test_it_contains_the_list_of_installed_packages(image):
    sbom = json.loads(shell(image, "cat /opt/slipway/sbom.cdx.json"))
    names = {part["name"].lower() for part in sbom["components"]}
    assert {"pyarrow", "duckdb"} <= names
    assert ("tensorflow" in names) == (image == PLATFORM)


def test_the_shipper_ships_with_a_read_only_root():
    result = json.loads(docker("run", "--rm", *READ_ONLY, SHIP, "ship", "--once", "--json"))
    assert result == {"segments": 0, "events": 0, "audit_lines": 0, "failed": []}


def test_the_shipper_contains_its_code_and_no_other_package():
    assert shell(SHIP, "ls /srv/slipway").split() == ["monitoring", "slipway"]


def test_the_platform_runs_the_servers_and_knows_the_use_cases():
    output = shell(PLATFORM, "mlflow --version; prefect --version; ls /srv/slipway/usecases; slipway train --help")
    shell(PLATFORM, "python -c 'import bentos.launcher.launcher, bentoml'")  # its gates time answers of `slipway serve`
    assert "mlflow, version 3." in output
    assert "credit_risk" in output and "Usage: slipway train" in output


def test_the_platform_trains_with_a_read_only_root():
    options = ["train", "credit_risk", "--no-register", "--set", "epochs=1", "--json"]
    result = json.loads(docker("run", "--rm", "--network=none", *READ_ONLY, PLATFORM, *options))
    assert result["usecase"] == "credit_risk" and result["scores"]["roc_auc"]["value"] > 0.5
