"""Hostile bundles of a registry or a folder: refused with a reason, the old model serves, nothing leaks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bentos.follower.follower import Follower
from bentos.models import ModelManager, load
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.bundle import manifest as bundle
from slipway.contracts.bundle import signing
from slipway.errors import BundleError
from slipway.inference import Predictor
from slipway.serving_state import desired, follower_status, observed
from slipway.settings import settings
from slipway.system import files as files_module
from tests.bentos.models.hostile_bundles import HOSTILE, link_a_file, link_a_folder, rewrite_manifest
from tests.support import bundles
from tests.support.doubles.registry_double import RegistryDouble
from tests.support.signed import key_pair
from tests.support.waiting import until

NAME = bundles.TABULAR.usecase
MIB = 1 << 20


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """`trust()` creates the key that signs from then on, the only trusted one."""

    def trust() -> None:
        private, public = key_pair(tmp_path)
        monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(private))
        monkeypatch.setenv("SLIPWAY_TRUSTED_KEYS", str(public))
        settings.cache_clear()

    return trust


class TestFollower:
    """Attacks by a registry that the attacker controls."""

    @pytest.fixture
    def registry(self) -> Iterator[RegistryDouble]:
        with RegistryDouble(NAME) as double:
            yield double

    @pytest.fixture
    def serving(self, registry: RegistryDouble, tmp_path: Path, var: Path) -> str:
        """Follow version 1, which is valid, and return its digest."""
        bundles.write(tmp_path / "good")
        digest = registry.add("1", tmp_path / "good")
        self.follow(registry, "1")
        assert desired.read(var / "serving", NAME).champion == digest
        return digest

    @pytest.fixture
    def bad(self, tmp_path: Path) -> Path:
        bundles.write(tmp_path / "bad", bias=0.5)
        return tmp_path / "bad"

    def follow(self, registry: RegistryDouble, version: str) -> str | None:
        """Move the alias, let the follower poll, and return the reason of the refusal, if any."""
        registry.aliases["champion"] = version
        found = settings()
        follower = Follower(NAME, Registry(registry.uri), found)
        follower.poll()
        follower.close()
        refusal = follower_status.read_refusals(found.serving, NAME).get(version)
        return refusal.reason if refusal else None

    def assert_refused(self, registry: RegistryDouble, serving: str, reason: str, **tags: str) -> None:
        """Check that version 2 is refused for the reason, version 1 stays, and no other file appears."""
        var, root = settings().var, settings().var.parent
        before = files(root)
        reason_given = self.follow(registry, "2")
        assert reason_given and reason in reason_given
        assert str(var) not in reason_given, "no path of this machine is in a reason that the registry gets"
        assert desired.read(var / "serving", NAME).champion == serving
        bundle.verify(var / "store" / serving, serving, serving_only=True)
        assert files(root) - before <= {f"var/serving/{NAME}/refused.json"}

    @pytest.mark.parametrize(
        "name", ["../../../../escaped", "/tmp/escaped", "serve/../../escaped", "serve/model.onnx.data"]
    )
    def test_a_manifest_that_lists_unknown_files(self, registry, serving, bad, name):
        manifest = json.loads((bad / bundle.MANIFEST).read_bytes())
        manifest["files"][name] = "0" * 64
        (bad / bundle.MANIFEST).write_text(json.dumps(manifest))
        registry.add("2", bad)
        registry.requested_files.clear()
        self.assert_refused(registry, serving, f"lists {name!r}, which no bundle has")
        assert not [file for file in registry.requested_files if "escaped" in file or file.endswith(".data")]

    @pytest.mark.parametrize(
        "name", ["serve/probe.json", "serve/model.onnx", "metrics.json", "manifest.json", "manifest.sig"]
    )
    def test_a_file_that_never_ends(self, registry, serving, bad, name, monkeypatch):
        monkeypatch.setitem(bundle.LIMITS, name, 2 * MIB)
        registry.add("2", bad)
        registry.endless.add(name)
        self.assert_refused(registry, serving, f"{name} has more than 2097152 bytes")
        assert registry.sent < 64 * MIB, "the download ends at the limit"

    def test_a_changed_manifest_ends_the_download(self, registry, serving, bad):
        registry.add("2", bad, **{"slipway.bundle_sha256": "f" * 64})
        registry.requested_files.clear()
        self.assert_refused(registry, serving, "the registry says ffff")
        assert registry.requested_files == ["manifest.json"]

    def test_a_manifest_that_is_nested_too_deep(self, registry, serving, bad):
        manifest = json.loads((bad / bundle.MANIFEST).read_bytes()) | {"facts": 0}
        text = json.dumps(manifest).replace('"facts": 0', f'"facts": {{"a": {"[" * 5000}{"]" * 5000}}}')
        (bad / bundle.MANIFEST).write_text(text)
        registry.add("2", bad)
        self.assert_refused(registry, serving, "manifest.json is refused: it is nested more than 32 deep")

    def test_a_link_in_place_of_a_stored_bundle_is_replaced_and_not_followed(
        self, registry, serving, bad, var, tmp_path
    ):
        digest = registry.add("2", bad)
        shutil.copytree(bad, tmp_path / "elsewhere")
        (var / "store" / digest).symlink_to(tmp_path / "elsewhere")
        before = files(tmp_path / "elsewhere")
        assert self.follow(registry, "2") is None
        assert not (var / "store" / digest).is_symlink()
        assert files(tmp_path / "elsewhere") == before
        assert {path.name for path in (var / "store").iterdir()} == {serving, digest}

    @pytest.mark.parametrize("link", [link_a_file, link_a_folder])
    def test_a_link_inside_of_a_stored_bundle_is_fetched_anew(self, registry, serving, bad, var, link):
        digest = registry.add("2", bad)
        self.follow(registry, "2")
        self.follow(registry, "1")
        link(var / "store" / digest)
        assert self.follow(registry, "2") is None
        bundle.verify(var / "store" / digest, digest, serving_only=True)

    def test_no_signature_where_one_is_required(self, registry, serving, bad, trust):
        trust()
        registry.add("2", bad)
        self.assert_refused(registry, serving, "it has no manifest.sig, and SLIPWAY_TRUSTED_KEYS is set")

    def test_a_signature_by_an_unknown_key(self, registry, serving, bad, trust):
        trust()
        signing.sign(bad)
        trust()
        registry.add("2", bad)
        self.assert_refused(registry, serving, "is of none of the 1 keys")

    def test_a_signed_bundle_is_served_and_its_signature_kept(self, registry, serving, bad, trust, var):
        trust()
        signing.sign(bad)
        digest = registry.add("2", bad)
        assert self.follow(registry, "2") is None
        assert desired.read(var / "serving", NAME).champion == digest
        signing.require(var / "store" / digest)

    def test_a_signature_that_was_added_later_is_fetched(self, registry, serving, trust, tmp_path, var):
        trust()
        assert "it has no manifest.sig" in self.follow(registry, "1")
        signing.sign(tmp_path / "good")
        assert self.follow(registry, "1") is None
        signing.require(var / "store" / serving)


class TestWorker:
    """Attacks by somebody who may register any bundle with a matching manifest."""

    @pytest.fixture
    def manager(self, var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelManager]:
        """Provide a worker's model manager, which follows the pointer and serves version 1."""
        monkeypatch.setattr("bentos.models.model_manager.POLL_SECONDS", 0.02)
        bundles.promote(var, tmp_path / "good", version="1")
        settings.cache_clear()
        held = ModelManager(NAME, settings(), lambda *_: None)
        held.start()
        yield held
        held.stop()

    def assert_refused(
        self, manager: ModelManager, var: Path, folder: Path, reason: str, outcome: str = "refused"
    ) -> None:
        digest = files_module.file_sha256(folder / bundle.MANIFEST)
        generation = bundles.point(var, NAME, digest)

        def done() -> bool:
            (found,) = observed.read(var / "serving", NAME)
            return found.generation == generation and found.roles["champion"].outcome != "loading"

        until(done)
        (state,) = observed.read(var / "serving", NAME)
        role = state.roles["champion"]
        assert (role.outcome, manager.live.version) == (outcome, "1")
        assert role.reason and reason in role.reason
        assert manager.live.predictor.predict(bundles.ROWS[NAME][:1])

    @pytest.mark.parametrize("kind", HOSTILE)
    def test_it_is_refused_and_the_old_one_serves(self, manager, var, tmp_path, kind):
        tamper, reason = HOSTILE[kind]
        folder = tmp_path / "bad"
        bundles.write(folder, bias=0.5)
        tamper(folder)
        rewrite_manifest(folder)
        bundles.put_in_store(var, folder, version="2")
        self.assert_refused(manager, var, folder, reason)

    def test_an_image_of_gigabytes_is_refused_before_one_is_made(self, tmp_path):
        folder = tmp_path / "bad"
        bundles.write(folder, bundles.IMAGES)
        schema = json.loads((folder / "serve/schema.json").read_text())
        schema["features"][0]["size"] = [100_000, 100_000]
        (folder / "serve/schema.json").write_text(json.dumps(schema))
        rewrite_manifest(folder)
        with pytest.raises(BundleError, match="has an invalid image feature 'image'"):
            load(folder, bundles.IMAGES.usecase)

    @pytest.mark.parametrize("link", [link_a_file, link_a_folder])
    def test_links_are_refused_where_the_bytes_are_right(self, manager, var, tmp_path, link):
        bundles.write(tmp_path / "bad", bias=0.5)
        link(bundles.put_in_store(var, tmp_path / "bad", version="2"))
        self.assert_refused(manager, var, tmp_path / "bad", "serve/model.onnx is missing", "failed")

    def test_a_file_larger_than_its_limit_is_not_even_hashed(self, manager, var, tmp_path, monkeypatch):
        bundles.write(tmp_path / "bad", bias=0.5)
        bundles.put_in_store(var, tmp_path / "bad", version="2")
        monkeypatch.setitem(bundle.LIMITS, "serve/model.onnx", 100)
        self.assert_refused(manager, var, tmp_path / "bad", "bytes, 100 are allowed")

    def test_an_unsigned_bundle_is_refused_by_pointer_folder_and_package(self, manager, var, tmp_path, trust):
        trust()
        bundles.write(tmp_path / "bad", bias=0.5)
        bundles.put_in_store(var, tmp_path / "bad", version="2")
        self.assert_refused(manager, var, tmp_path / "bad", "it has no manifest.sig")
        for source in ("bundle", "packaged"):
            with pytest.raises(BundleError, match=r"it has no manifest\.sig"):
                load(tmp_path / "bad", NAME, source=source)
        signing.sign(tmp_path / "bad")
        assert load(tmp_path / "bad", NAME, source="packaged").source == "packaged"

    @pytest.mark.parametrize("what", ["digest", "signature", "gates"])
    def test_nothing_under_serve_is_parsed_before_digest_signature_and_gates_are_right(
        self, tmp_path, monkeypatch, trust, what
    ):
        bundles.write(tmp_path / "bad", passed=what != "gates")
        if what == "signature":
            trust()
        monkeypatch.setattr(Predictor, "__init__", lambda *_: pytest.fail("it was parsed"))
        with pytest.raises(BundleError):
            load(tmp_path / "bad", NAME, digest="0" * 64 if what == "digest" else None)
