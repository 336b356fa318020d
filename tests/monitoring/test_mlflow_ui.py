"""A person promotes in MLflow's own UI, with mouse and keyboard: what the registry has then, and when the servers do.

`--junit-xml=FILE` records the seconds of each promotion as a property of its test.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway.clients.mlflow.registry import Registry
from slipway.contracts.bundle import manifest
from tests.bentos.server.processes import ROOT, Server
from tests.support import bundles, one_epoch
from tests.support.browser import Browser
from tests.support.servers import publish, unique_name

NAMES = tuple(sorted(path.parent.name for path in (ROOT / "usecases").glob("*/usecase.yaml")))
WORKERS = 2
MOVES = 2
SERVED_SECONDS = 30  # 2 to 4 alone; the machine may be busy with other tests
DIALOG = "[role=dialog]"
WIDTH = 1600  # on narrow pages the links to the versions are cut off


class Serve(Server):
    """`slipway serve` of the built-in use cases, with its follower."""

    command = [sys.executable, "-m", "slipway.cli", "serve", *NAMES]

    def versions(self, name: str) -> list[str]:
        """What each worker answers with."""
        return [worker["version"] for worker in json.loads(self.get(f"/v1/models/{name}")[1])["workers"]]

    def answering(self, name: str) -> str:
        """The version that answers a prediction."""
        examples = json.loads(self.get(f"/v1/models/{name}/schema")[1])["examples"]
        return self.predict(name, **examples[0])[1]["model"]["version"]


class ModelPages:
    """The pages of MLflow's UI about registered models, as docs/how-to/promote-in-mlflow.md leads through them."""

    def __init__(self, browser: Browser, uri: str) -> None:
        self.browser = browser
        self._uri = uri

    def find(self) -> None:
        """The way there of somebody who comes for the first time."""
        self.browser.open(self._uri, width=WIDTH)
        self.browser.press("[role=button]", "Model training")
        self.browser.press("a", "Model registry")
        self.browser.press(f"{DIALOG} button", "Try it now")

    def give(self, name: str, version: str, alias: str) -> float:
        """Give an alias to a version; when "Save aliases" was about to be pressed, by `time.monotonic()`."""
        self._edit_aliases(name, version)
        self.browser.press(f"{DIALOG} input")
        self.browser.type(alias)
        self.browser.until(f"document.querySelector('[role=option]')?.innerText === {json.dumps(alias)}")
        self.browser.enter()
        return self._save()

    def take_away(self, name: str, version: str) -> None:
        """Remove the only alias of the version by the cross next to it."""
        self._edit_aliases(name, version)
        self.browser.press(f"{DIALOG} form button")
        self._save()

    def _edit_aliases(self, name: str, version: str) -> None:
        # The list of models shows 25 at a time, and other tests have theirs in this registry.
        self.browser.open(f"{self._uri}/#/models/{name}", width=WIDTH)
        self.browser.press("a", f"Version {version}")
        self.browser.press("button[title$=' aliases']")

    def _save(self) -> float:
        saved = time.monotonic()
        self.browser.press(f"{DIALOG} button", "Save aliases")
        return saved


@pytest.fixture(scope="module")
def pages(
    needs: Callable[[str], Path], mlflow_app_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ModelPages]:
    browser = Browser(needs("chromium"), tmp_path_factory.mktemp("profile"))
    pages = ModelPages(browser, mlflow_app_server)
    pages.find()
    yield pages
    browser.close()


@pytest.fixture(scope="module")
def registry(pages: ModelPages, mlflow_app_server: str, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Two versions of each built-in model: the first is champion, the second challenger."""
    registry = Registry(mlflow_app_server)
    for name in NAMES:
        first = trained(name, tmp_path_factory)
        for folder, alias in ((first, "champion"), (again(first), "challenger")):
            registry.set_alias(name, alias, publish(mlflow_app_server, name, folder))
    return registry


def trained(name: str, factory: pytest.TempPathFactory) -> Path:
    """The bundle of a use case's quick loop of one epoch, which no gate has tested."""
    _, root = one_epoch.trained_once(factory, name)
    var = shutil.copytree(root.parents[1], factory.mktemp(name) / "var")
    for step in ("gate", "bundle"):
        shutil.rmtree(var / "runs" / root.name / step)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.steps.gate.GATES", ())
        return one_epoch.train(name, var)[1] / "bundle" / "bundle"


def again(first: Path) -> Path:
    """The same network as another bundle, with a digest of its own: servers load it anew."""
    second = shutil.copytree(first, first.with_name("again"))
    read = manifest.read_manifest(second)
    (second / manifest.MANIFEST).unlink()
    manifest.write(second, read.usecase, read.facts | {"again": True})
    return second


@pytest.fixture(scope="module")
def server(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    var = tmp_path_factory.mktemp("serve") / "var"
    with Serve(var, NAMES, workers=WORKERS, MLFLOW_TRACKING_URI=registry.uri) as running:
        yield running


@pytest.mark.timeout(900)  # two models may have to be trained before; 50 s alone
@pytest.mark.parametrize("name", NAMES)
def test_a_champion_made_in_the_ui_is_soon_served_by_every_worker(
    pages: ModelPages, registry: Registry, server: Serve, name: str, record_property: Callable[[str, object], None]
) -> None:
    for move in range(MOVES):
        assert server.versions(name) == [str(move % 2 + 1)] * WORKERS
        version = str((move + 1) % 2 + 1)
        saved = pages.give(name, version, "champion")
        server.wait_for(lambda: server.versions(name) == [version] * WORKERS, SERVED_SECONDS)  # noqa: B023
        record_property("seconds", round(time.monotonic() - saved, 2))
        assert server.answering(name) == version
        assert registry.model(name).aliases == {"champion": version, "challenger": "2"}


def test_a_canary_is_set_and_removed_in_the_ui_next_to_the_champion(
    pages: ModelPages, mlflow_app_server: str, tmp_path: Path
) -> None:
    name, registry = unique_name("loans"), Registry(mlflow_app_server)
    for bias in (0.0, 0.1):
        bundles.write(tmp_path / str(bias), bias=bias)
        bundles.rename(tmp_path / str(bias), name)
        publish(mlflow_app_server, name, tmp_path / str(bias))
    registry.set_alias(name, "champion", "1")
    pages.give(name, "2", "canary")
    pages.browser.until("document.querySelector(\"button[title='Edit aliases']\")")
    assert registry.model(name).aliases == {"champion": "1", "canary": "2"}
    pages.take_away(name, "2")
    pages.browser.until("document.querySelector(\"button[title='Add aliases']\")")
    assert registry.model(name).aliases == {"champion": "1"}


def test_a_promotion_that_servers_would_refuse_is_refused_in_the_dialog_with_its_reason(
    pages: ModelPages, mlflow_app_server: str, tmp_path: Path
) -> None:
    name, registry = unique_name("loans"), Registry(mlflow_app_server)
    bundles.write(tmp_path / "failed", passed=False)
    bundles.rename(tmp_path / "failed", name)
    publish(mlflow_app_server, name, tmp_path / "failed")
    pages.give(name, "1", "champion")
    sentence = f"{name} version 1 cannot be champion: its gates failed: ROC AUC is 0.6; at least 0.7 is needed."
    pages.browser.until(f"document.querySelector('{DIALOG}')?.innerText.includes({json.dumps(sentence)})")
    assert registry.model(name).aliases == {}
