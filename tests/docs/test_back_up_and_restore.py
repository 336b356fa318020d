"""A backup by the commands of its page is restored elsewhere: registry, artifacts and log are what they were."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.follower.follower import Follower
from monitoring.governance import history, trace
from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from slipway import audit, ids, timestamps
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.events import encoder, feedback_event, prediction_event
from slipway.prediction_log import Log, Writer, segments
from slipway.serving_state import desired
from slipway.settings import settings
from tests.support import bundles, sharing
from tests.support.servers import free_port, publish, start_mlflow_app, unique_name

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "back-up-and-restore.md"
TAGS = {"slipway.gate": "passed", "slipway.data_sha256": "d" * 64, "slipway.git_commit": "c" * 40}


def run(block: str, folder: Path, backup: Path) -> None:
    """Run the commands of the page below a comment, in a folder that has or gets a `var`."""
    pattern = rf"<!-- {block} -->\n```bash\n(.*?)^```$"
    [commands] = re.findall(pattern, PAGE.read_text(), re.MULTILINE | re.DOTALL)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"BACKUP": str(backup), "PATH": path}
    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=folder, env=env, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()


def use(patch: pytest.MonkeyPatch, folder: Path, registry: str) -> None:
    """Lead this process to the state folder and the registry of a laptop."""
    patch.setenv("SLIPWAY_VAR", str(folder / "var"))
    patch.setenv("MLFLOW_TRACKING_URI", registry)
    patch.setenv("SLIPWAY_SERVERS", "http://127.0.0.1:9")
    settings.cache_clear()


def log_line(usecase: str, stream: str, line: bytes) -> None:
    writer = Writer(settings().spool, usecase, stream)
    assert writer.write(line)
    writer.close()


def predict(usecase: str, digest: str) -> str:
    """Log a prediction of version 2, and return its id."""
    row = ids.row_id(ids.uuid7(), 0)
    context = encoder.EventEncoder(
        environment="local",
        usecase=usecase,
        version="2",
        bundle_sha256=digest,
        role="champion",
        answered=True,
        timestamp=timestamps.now_iso(),
        model_ms=1.5,
    )
    request = prediction_event.EventRequest("t" * 32, "r", 1)
    log_line(usecase, "prediction", context.encode_row(request, row, {"age": 40.0}, answer={"label": "bad"}))
    return row


def fill(usecase: str, registry: Registry, scratch: Path) -> str:
    """Register two versions, promote the second, and log two predictions, one of them shipped and labelled; returns
    the id of that one."""
    for number in (1, 2):
        bundles.write(scratch / f"bundle-{number}", bias=float(number))
        bundles.rename(scratch / f"bundle-{number}", usecase)
        publish(registry.uri, usecase, scratch / f"bundle-{number}", TAGS)
    registry.set_alias(usecase, "champion", "2")
    evidence = {"alias": "champion", "from": None, "to": "2"}
    audit.append(usecase, "promoted", who="ann@laptop", why="it is better", version="2", evidence=evidence)
    digest = str(registry.version(usecase, "2").digest)
    row, now = predict(usecase, digest), timestamps.now_iso()
    label = {"timestamp": now, "known_at": now, "row": row, "label": "good"}
    log_line(
        usecase,
        "feedback",
        feedback_event.feedback_line(environment="local", usecase=usecase, trace_id="t" * 32, **label)[1],
    )
    assert not Shipper(settings(), [ParquetSink(settings())]).ship().failed
    predict(usecase, digest)
    return row


def state(usecase: str) -> dict[str, Any]:
    """Read what a restore must bring back."""
    registry, log = Registry(settings().registry_uri), Log(settings())
    found = history.gather(usecase, settings(), poll=lambda *_: [])
    return {
        "aliases": found.aliases,
        "versions": [(each.version, each.digest, each.tags) for each in registry.versions(usecase)],
        "events": found.events,
        "problems": found.problems,
        "audit": audit.lines(usecase),
        "predictions": sorted(map(str, log.predictions(usecase).fetchall())),
        "labelled": sorted(map(str, log.labelled(usecase).fetchall())),
    }


@pytest.fixture
def laptop(
    mlflow_server: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Provide the folder of a laptop, whose registry is the one that all tests share and goes on running."""
    folder = tmp_path / "laptop"
    (folder / "var").mkdir(parents=True)
    (folder / "var" / "mlflow").symlink_to(sharing.of_the_run(tmp_path_factory) / "shared-mlflow")
    use(monkeypatch, folder, mlflow_server)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Provide an empty folder for a restore; servers that were started on it end with the test."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    yield folder
    if (pid := folder / "pid").exists():
        sharing.end(int(pid.read_text()))


def started(folder: Path) -> str:
    """Start MLflow as `slipway up` does, on the database and the artifacts of a state folder; returns its address."""
    var, uri = folder / "var", f"http://127.0.0.1:{free_port()}"
    pid, uri = start_mlflow_app(var / "mlflow", uri, {"SLIPWAY_VAR": str(var), "SLIPWAY_LOG_URL": str(var / "log")})
    (folder / "pid").write_text(str(pid))
    return uri


def test_a_backup_is_restored_elsewhere_and_served(
    laptop: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usecase = unique_name("loans")
    row = fill(usecase, Registry(settings().registry_uri), tmp_path)
    settings().mask_secret()
    before = state(usecase)
    assert before["problems"] == []
    assert len(before["predictions"]) == 2
    run("back up", laptop, tmp_path / "backup")
    run("restore", elsewhere, tmp_path / "backup")
    use(monkeypatch, elsewhere, started(elsewhere))
    assert state(usecase) == before
    assert trace.trace(usecase, row, settings()).is_verified
    assert settings().mask_secret() == (laptop / "var" / "mask.key").read_bytes()
    follower = Follower(usecase, Registry(settings().registry_uri), settings())
    follower.poll()
    follower.close()
    pointer = desired.read(settings().serving, usecase)
    assert pointer is not None
    assert pointer.champion == before["versions"][0][1]
    assert segments(settings().spool, usecase)
    assert not Shipper(settings(), [ParquetSink(settings())]).ship().failed
    assert state(usecase)["predictions"] == before["predictions"]
