"""The champion that a training is compared with: that of its beginning, by its bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.runs.baseline import Baseline
from pipelines.steps import champion as step
from slipway.clients.mlflow.registry import ModelVersion
from slipway.errors import DataError


class Registry:
    """Double of a registry whose versions have these digests, by number."""

    def __init__(self, **digests: str) -> None:
        self.digests = digests

    def versions(self, name: str) -> list[ModelVersion]:
        tags = {number: {"slipway.bundle_sha256": digest} for number, digest in self.digests.items()}
        return [ModelVersion(name, number.removeprefix("v"), "run", "there", found) for number, found in tags.items()]

    def fetch_bundle(self, version: ModelVersion, into: Path) -> None:
        into.mkdir()
        (into / "version").write_text(version.version)


@pytest.mark.parametrize(("versions", "fetched"), [({"v1": "a", "v2": "b"}, "1"), ({"v2": "b", "v7": "a"}, "7")])
def test_the_champion_is_the_bundle_of_the_beginning(tmp_path, monkeypatch, versions, fetched):
    monkeypatch.setattr(step, "Registry", lambda: Registry(**versions))
    step.champion("loans", Baseline("1", "a"), tmp_path)
    assert (tmp_path / "bundle" / "version").read_text() == fetched


@pytest.mark.parametrize("versions", [{"v1": "b"}, {}])
def test_a_champion_whose_number_came_again_is_not_compared_with(tmp_path, monkeypatch, versions):
    monkeypatch.setattr(step, "Registry", lambda: Registry(**versions))
    with pytest.raises(DataError, match="version 1 of loans, the champion when this training began, is no longer"):
        step.champion("loans", Baseline("1", "a"), tmp_path)
    assert not (tmp_path / "bundle").exists()
