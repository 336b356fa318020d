"""Broken and hostile bundles from the registry to two real workers: the component that refuses one gives the reason,
and the server stays ready and serves the old version."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from bentos.follower.follower import Follower
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.bundle import manifest as bundle
from slipway.settings import Settings
from tests.bentos.models.broken_bundles import BREAKS, mix_up_the_digest
from tests.bentos.models.hostile_bundles import HOSTILE, rewrite_manifest
from tests.bentos.server.processes import Server
from tests.support import bundles
from tests.support.doubles.registry_double import RegistryDouble

pytestmark = pytest.mark.slow

ROW = bundles.ROWS["loans"][0]
LOADING_SECONDS = 0.5  # how long the server is observed after an immediate refusal


class Deployment(NamedTuple):
    """A registry, the follower, and a server whose version 1 is good."""

    registry: RegistryDouble
    follower: Follower
    server: Server

    def promote(self, version: str, folder: Path, **tags: str) -> str:
        digest = self.registry.add(version, folder, **tags)
        self.registry.aliases["champion"] = version
        self.follower.poll()
        return digest

    def described(self) -> dict[str, Any]:
        return json.loads(self.server.get("/v1/models/loans")[1])

    def refusals(self) -> set[str]:
        """Return the published reasons: the follower's, or those of all workers if both refused."""
        content = self.described()
        reasons = {refusal["reason"] for refusal in content["refused"].values()}
        roles = [state["roles"]["champion"] for state in content["workers"]]
        if [role.get("outcome") for role in roles] == ["refused"] * 2:
            reasons |= {role["reason"] for role in roles}
        return reasons

    def assert_serving(self) -> None:
        assert self.server.get("/readyz")[0] == 200
        status, content = self.server.predict("loans", **ROW)
        assert (status, content["model"]["version"]) == (200, "1")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("home")
    bundles.write(folder / "good")
    with RegistryDouble("loans") as registry:
        deployment = Deployment(
            registry,
            Follower("loans", Registry(registry.uri), Settings(var=folder / "var")),
            Server(folder / "var", ("loans",), workers=2),
        )
        deployment.promote("1", folder / "good")
        with deployment.server:
            yield deployment
        deployment.follower.close()


def manifest(change: Callable[[dict], dict]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        path = folder / bundle.MANIFEST
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return tamper


def outside(content: dict) -> dict:
    content["files"]["../../../escaped"] = "0" * 64
    return content


def rewritten(**options: Any) -> Callable[[Path], None]:
    """Write a valid bundle that differs only in what loading it reveals."""

    def tamper(folder: Path) -> None:
        folder.rename(folder.with_name("before"))
        bundles.write(folder, bias=0.5, **options)

    return tamper


def with_new_manifest(kind: str) -> tuple[Callable[[Path], None], str]:
    tamper, reason = HOSTILE[kind]

    def tamper_and_rewrite_manifest(folder: Path) -> None:
        tamper(folder)
        rewrite_manifest(folder)

    return tamper_and_rewrite_manifest, reason


RENAMED = msgspec.structs.replace(bundles.TABULAR, classes=("yes", "bad"))
KINDS: dict[str, tuple[Callable[[Path], Any], str]] = {
    **{tamper.__name__: (tamper, "") for tamper in BREAKS},
    "a path that leads out": (manifest(outside), "lists '../../../escaped', which no bundle has"),
    "a network that does not respond as its probe says": (
        rewritten(probe_shift=0.1),
        "probe rows differ",
    ),
    "other classes": (rewritten(schema=RENAMED), "classes differ"),
    "a hundred times slower": (rewritten(slow=60), "times as long as version 1"),
    **{
        kind: with_new_manifest(kind)
        for kind in (
            "external tensor data",
            "a custom operator",
            "a tensor of all the memory",
            "a shape that its bytes do not fill",
            "a compressed network",
            "deep nesting",
        )
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_refused_with_its_reason_and_the_old_one_serves(
    deployment: Deployment, tmp_path: Path, kind: str
) -> None:
    tamper, reason = KINDS[kind]
    bundles.write(tmp_path / "bad", bias=0.5)
    reason = tamper(tmp_path / "bad") or reason
    tags = {"slipway.bundle_sha256": "0" * 64} if tamper is mix_up_the_digest else {}
    deployment.promote(str(2 + list(KINDS).index(kind)), tmp_path / "bad", **tags)
    promoted_at = time.monotonic()
    while (
        not any(reason in reasons for reasons in deployment.refusals())
        or time.monotonic() < promoted_at + LOADING_SECONDS
    ):
        deployment.assert_serving()
        assert time.monotonic() < promoted_at + 30, deployment.described()
    assert {state["version"] for state in deployment.described()["workers"]} == {"1"}
    assert not list(tmp_path.parent.rglob("escaped"))


def test_after_all_refusals_a_valid_bundle_is_served(deployment: Deployment, tmp_path: Path) -> None:
    deployment.assert_serving()
    bundles.write(tmp_path / "good", bias=0.3)
    digest = deployment.promote("100", tmp_path / "good")
    deployment.server.wait_for(lambda: {state.serving for state in deployment.server.states()} == {digest})
    assert deployment.server.predict("loans", **ROW)[1]["model"]["version"] == "100"
    assert deployment.refusals() == set()
