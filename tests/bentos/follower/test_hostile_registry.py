"""A registry that answers anything: what is served stays, one finding says why, and the way back is tried again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.follower.desired_versions import desired_versions
from bentos.follower.follower import Follower
from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel, Registry
from slipway.errors import RegistryError
from slipway.serving_state import desired, follower_status
from slipway.settings import settings
from tests.slipway.clients.mutations import answer_all, mutations
from tests.support import bundles

NAME = bundles.TABULAR.usecase
MODEL = {"registered_model": {"name": NAME, "aliases": [{"alias": "champion", "version": "3"}]}}
NOTHING: dict[str, Any] = {"registered_model": {"name": NAME}}


@pytest.fixture
def following(var: Path, tmp_path: Path) -> Follower:
    bundles.promote(var, tmp_path / "bundle")
    settings.cache_clear()
    return Follower(NAME, Registry("http://registry.test"), settings())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    return answer_all(monkeypatch)


def champion() -> str | None:
    found = desired.read(settings().serving, NAME)
    return found and found.champion


def topics() -> dict[str, str]:
    found = follower_status.read_status(settings().serving, NAME)
    return {topic: warning.message for topic, warning in found.topics.items()} if found else {}


@pytest.mark.slow
def test_whatever_the_registry_answers_the_champion_stays_and_its_return_is_seen(following, answers):
    served = champion()
    for content in mutations(MODEL):
        answers(content)
        following.poll()
        assert champion() == served
        assert "trouble" not in topics()
        assert all(len(message) <= 1000 and message.isprintable() for message in topics().values())
        answers(json.dumps(NOTHING).encode())
        following.poll()
        assert topics().keys() == {"alias"}, content[:200]


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (404, b"<html>nginx</html>", {}),
        (404, b"", {}),
        (404, b'{"error_code": 404}', {}),
        (302, b"", {"location": "https://evil.example/\r\n"}),
        (200, b"", {}),
        (500, b'{"message": "' + b"SELECT\\n" * 8000 + b'"}', {}),
        (401, b"\xff" * 1000, {}),
    ],
)
def test_an_error_that_is_none_of_mlflow_moves_nothing(following, monkeypatch, status, content, headers):
    def handle_request(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, stream=httpx.ByteStream(content), headers=headers)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle_request)
    pointer = desired.read(settings().serving, NAME)
    following.poll()
    assert desired.read(settings().serving, NAME) == pointer
    (message,) = topics().values()
    assert topics().keys() == {"registry"} and "registry.test" in message
    assert len(message) < 800 and message.isprintable()


def test_only_the_error_of_the_last_poll_is_shown(following, monkeypatch):
    def raising(error: Exception) -> Callable[[str], RegisteredModel]:
        def model(name: str) -> RegisteredModel:
            raise error

        return model

    for error, topic in [
        (RegistryError("it does not respond"), "registry"),
        (OSError(28, "No space left on device"), "trouble"),
        (RegistryError("it does not respond"), "registry"),
        (ValueError("x\n" * 100_000), "trouble"),
    ]:
        monkeypatch.setattr(following.registry, "model", raising(error))
        following.poll()
        assert topics().keys() == {topic}
    monkeypatch.setattr(following.registry, "model", lambda name: RegisteredModel(name))
    following.poll()
    assert topics().keys() == {"alias"}


TAGS = [
    "",
    "null",
    "[]",
    "7",
    '"x"',
    "{",
    "[" * 200_000,
    '{"version": "2"}',
    '{"version": "2", "weight": null}',
    '{"version": "2", "weight": "10"}',
    '{"version": "2", "weight": NaN}',
    '{"version": "2", "weight": Infinity}',
    '{"version": "2", "weight": 1e999}',
    '{"version": "2", "weight": ' + "9" * 5000 + "}",
    '{"version": "2", "weight": -1}',
    '{"version": "2", "weight": 101}',
    '{"version": "2", "weight": true}',
    '{"version": ["2"], "weight": 10}',
    '{"version": "3", "weight": 10}',
    '{"version": "2", "weight": 10, "salt": 5}',
    '{"version": "2", "weight": 10, "salt": "no hex"}',
    '{"version": "2", "weight": 10, "salt": "%s"}' % ("a" * 65),
    "\x00",
]


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_that_is_no_rollout_gives_the_canary_no_share(tag):
    model = RegisteredModel(NAME, {"champion": "1", "canary": "2"}, {"slipway.canary": tag})
    found = desired_versions(model, "champion")
    assert (found.champion, found.canary, found.weight) == ("1", None, 0.0)


def test_a_tag_of_a_version_is_kept_as_one_line_of_bounded_length(following, monkeypatch):
    digest = champion()
    tags = {"slipway.bundle_sha256": digest, "slipway.override": "ann: " + "why\n" * 50_000}
    monkeypatch.setattr(following.registry, "model", lambda name: RegisteredModel(name, {"champion": "1"}))
    monkeypatch.setattr(following.registry, "version", lambda name, number: ModelVersion(name, number, "run", "", tags))
    following.poll()
    (version,) = {desired.stored_version(path.parent) for path in settings().store.glob("*/version.json")}
    assert version is not None and version.override is not None
    assert len(version.override) <= 1000 and version.override.isprintable()
    assert not topics()
