"""The serving image: its contents, and how it runs with a read-only root and an unprivileged user."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from bentos.images import Packaged, build_image
from bentos.images.container import SBOM
from slipway import __version__, api_keys
from tests.infra.images.containers import BASE, OPEN, READ_ONLY, Serving, docker, inspected, shell
from tests.support import bundles

LARGEST = 260_000_000  # bytes above the base
ROW = {"instances": [bundles.ROWS["loans"][0]]}
INSTALLED = (
    "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
)


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """Provide a volume that the image's user may write."""
    folder = tmp_path / "volume"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, tuple[str, ...]]:
    """Create a key that may predict, and the options that mount its file."""
    path = tmp_path / "keys.json"
    secret = api_keys.create(path, "tests", ["predict", "read"])[1]
    path.chmod(0o644)
    return secret, (f"--volume={path}:/run/keys.json:ro", "--env=SLIPWAY_KEYS=/run/keys.json")


def test_its_labels_state_its_name_and_its_origin(image):
    labels = inspected(image.tag)["Config"]["Labels"]
    oci = {name.rpartition("image.")[2]: value for name, value in labels.items() if "opencontainers" in name}
    assert oci["title"] == "Slipway serving" and oci["description"]
    assert oci["licenses"] == "Apache-2.0"
    assert oci["base.name"] == BASE
    assert oci["version"] == labels["slipway.version"] == image.answer["labels"]["slipway.version"]
    assert oci["revision"] == labels["slipway.git_commit"]
    assert labels["slipway.model"] == "loans" and labels["slipway.release"] == __version__


def test_it_runs_as_a_user_that_owns_nothing_but_its_volume(image):
    assert inspected(image.tag)["Config"]["User"] == "10001:10001"
    owned = shell(image.tag, "id -u; find / -xdev -user slipway 2>/dev/null; true")
    assert owned.split() == ["10001", "/var/lib/slipway"]
    assert not shell(image.tag, "find /srv /opt -writable -not -type l")


def test_nothing_in_it_builds_or_installs(image):
    tools = "gcc cc g++ make git pip pip3 uv"
    assert not shell(image.tag, f"for tool in {tools}; do command -v $tool; done; true")
    assert not shell(image.tag, "python -c 'import pip' 2>/dev/null && echo there; true")
    assert not shell(image.tag, "find / \\( -name '*.whl' -o -path '*/.cache/*' \\) 2>/dev/null; true")


def test_it_contains_the_server_and_no_other_package(image):
    assert shell(image.tag, "ls /srv/slipway").split() == ["bentos", "packaged", "slipway"]
    heavy = "import importlib.util as u; print([n for n in {} if u.find_spec(n)])"
    names = ["tensorflow", "mlflow", "pandas", "pyarrow", "pipelines", "monitoring"]
    assert shell(image.tag, f'python -c "{heavy.format(names)}"').strip() == "[]"


def test_it_is_no_larger_than_its_base_and_260_megabytes(image):
    size = image.answer["image"]["size"]
    assert size == inspected(image.tag)["Size"]
    assert size - inspected(BASE)["Size"] <= LARGEST


def test_the_sbom_lists_exactly_the_installed_packages(image):
    sbom = json.loads(Path(image.answer["image"]["sbom"]).read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom == json.loads(shell(image.tag, f"cat {SBOM}"))
    installed = json.loads(shell(image.tag, f'python -c "{INSTALLED}"'))
    assert {part["name"].lower(): part["version"] for part in sbom["components"]} == installed
    assert "onnxruntime" in installed


def test_without_credentials_it_ends_with_78_and_names_the_missing_settings(image, var):
    with Serving(image.tag, *READ_ONLY, f"--volume={var}:/var/lib/slipway") as container:
        assert container.until_ended() == 78
        assert "No credentials are configured" in container.output
        assert "SLIPWAY_KEYS" in container.output and "SLIPWAY_INSECURE=true" in container.output


def test_read_only_it_answers_whoever_has_a_key_and_ends_with_its_log_written(image, var, key):
    """Run from `docker run` with only a volume and a key to `docker stop`."""
    secret, options = key
    with Serving(image.tag, *READ_ONLY, f"--volume={var}:/var/lib/slipway", *options) as container:
        container.until(200)
        assert container.request("/v1/models/loans/predict", ROW)[0] == 401
        assert container.request("/v1/models/loans/predict", ROW, "slipway_wrong")[0] == 401
        answers = [container.request("/v1/models/loans/predict", ROW, secret) for _ in range(20)]
        assert {status for status, _ in answers} == {200}
        ids = {json.loads(body)["predictions"][0]["id"] for _, body in answers}
        model = json.loads(container.request("/v1/models/loans", key=secret)[1])
        container.until_healthy()
        assert container.stop() == 0
        spool = container.copy("/var/lib/slipway/spool", var.parent / "spool")
    logged = [json.loads(line) for path in spool.rglob("prediction-*.jsonl") for line in path.read_text().splitlines()]
    assert {event["event"]["id"].partition(":")[0] for event in logged} == ids
    assert model["version"] == image.answer["labels"]["slipway.version"]
    assert not [path for path in spool.rglob("*") if path.suffix == ".open"]


def test_it_starts_without_a_volume_and_becomes_healthy(image):
    with Serving(image.tag, *READ_ONLY, *OPEN) as container:
        container.until_healthy()
        assert container.request("/v1/models/loans/predict", ROW)[0] == 200


def test_after_a_change_in_the_code_only_the_last_layers_are_new(image, tmp_path):
    changed = other(image, tmp_path)
    (changed.directory / "src" / "bentos" / "added.py").write_text("ADDED = True\n")
    assert new_layers(image.tag, changed) == 2  # the code, and the bundle after it


def test_after_a_change_of_the_bundle_only_its_layer_is_new(image, tmp_path):
    changed = other(image, tmp_path)
    packaged = changed.directory / "src" / "packaged" / "loans"
    shutil.rmtree(packaged)
    bundles.write(packaged, msgspec.structs.replace(bundles.TABULAR, synthetic=False))
    assert new_layers(image.tag, changed) == 1


def other(image, folder: Path) -> Packaged:
    """Copy the image's Bento, so that a test may change it."""
    directory = Path(shutil.copytree(image.bento, folder / "bento"))
    return Packaged(f"{image.tag}-changed", directory, "cpu", "loans", "changed", image.answer["labels"])


def new_layers(tag: str, changed: Packaged) -> int:
    """Count the layers of the changed Bento's image that the other one lacks."""
    try:
        build_image(changed, BASE)
        layers = [inspected(name)["RootFS"]["Layers"] for name in (changed.tag, tag)]
    finally:
        docker("image", "rm", "--force", "--no-prune", changed.tag, check=False)
    same = [mine == theirs for mine, theirs in zip(*layers, strict=True)]
    assert same[: same.index(False)].count(True) >= len(same) - 2
    return len(same) - same.index(False)
