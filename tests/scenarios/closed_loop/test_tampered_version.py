"""The sabotaged version in a real registry: refused by its gates, and taken with an override."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from monitoring.release.promotion import promote
from scenarios.closed_loop import tampered_version
from scenarios.closed_loop.faulty_models import Slice
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import CANARY, CHAMPION
from slipway.errors import GateRefused
from slipway.settings import settings
from tests.support import bundles
from tests.support.servers import publish, unique_name


@pytest.fixture
def name(mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model whose version 1 was evaluated on the rows of its holdout."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    settings.cache_clear()
    bundles.write(tmp_path / "bundle")
    pd.DataFrame(bundles.ROWS["loans"]).assign(risk="good").to_parquet(tmp_path / "holdout.parquet")
    name = unique_name("loans")
    publish(mlflow_server, name, tmp_path / "bundle", artifacts={"holdout/0.parquet": tmp_path / "holdout.parquet"})
    Registry().set_alias(name, CHAMPION, "1")
    return name


def test_a_tampered_version_is_complete_and_is_not_promoted_without_an_override(name: str, tmp_path: Path) -> None:
    version = tampered_version.register(name, "1", "errors", Slice("job", "nurse"), tmp_path / "scratch")
    assert version == "2"
    registry = Registry()
    registry.fetch_bundle(registry.version(name, version), tmp_path / "fetched", serving_only=False)
    with pytest.raises(GateRefused, match="altered on purpose"):
        promote(name, version, CANARY)
    promote(name, version, CANARY, "ann: to see that it is taken back")
    assert registry.model(name).aliases == {CHAMPION: "1", CANARY: "2"}
    assert registry.version(name, version).tags["slipway.override"].startswith("ann: ")
