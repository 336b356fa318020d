"""Damaged files: whatever is in place of a file that server, follower or watch read, what served serves on.

A server runs; in each case one to three files of its state folder are damaged, and server, a worker that starts,
follower, shipper, watch and the readers of the log meet them. Each case is derived from the seed and its number, given
the files that are there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from benchmarks.fuzz import bodies
from benchmarks.fuzz.campaign import MOST_FAILURES, Found, neighbours
from benchmarks.fuzz.responder import registry_of, responding
from benchmarks.fuzz.target import Target
from bentos.follower.follower import Follower
from bentos.models import ModelManager
from monitoring.analysis import verdict
from monitoring.log_shipping.shipper import Shipper
from monitoring.log_shipping.sinks import ParquetSink
from monitoring.retraining.decisions import Decisions
from monitoring.watch import Watcher
from slipway import api_keys, audit
from slipway.clients.mlflow.registry import Registry
from slipway.errors import SlipwayError
from slipway.prediction_log import Log
from slipway.serving_state import desired
from slipway.settings import Settings, settings

USECASE = "table"
GIGABYTE = 1 << 30
LONGEST = 20.0  # seconds that one reader may take on a busy machine
NOT_READ = re.compile(r"\.lock$|\.tmp$|^bentoml|^draft")
_VARYING = re.compile(r"[0-9a-f]{64}|\d{4}-\d\d-\d\d|(?<=[-/])[0-9][0-9a-zA-Z.-]*(?=\.json|$)|(?<=prediction-).*(?=\.)")
VERDICT = {"usecase": USECASE, "created": "2026-01-01T00:00:00Z", "verdict": "none", "sentence": "No drift."}
VERDICT |= {"features": [], "predictions": [], "quality": None, "synthetic": True, "report": "page.html"}


@dataclass
class World:
    """What runs on the machine; `readers` are its parts, each of which may refuse by an error of ours alone."""

    target: Target
    config: Settings
    readers: dict[str, Callable[[], Any]] = field(default_factory=dict)

    def files(self) -> list[Path]:
        """List the files that some part reads."""
        found = (path for path in self.config.var.rglob("*") if path.is_file() and not path.is_symlink())
        return sorted(path for path in found if not NOT_READ.search(str(path.relative_to(self.config.var))))

    def kind(self, path: Path) -> str:
        """Name a file without what is its own alone."""
        return _VARYING.sub("*", str(path.relative_to(self.config.var)))


@dataclass(frozen=True)
class Damage:
    """A file, its content before, and how to put what was chosen in its place."""

    kind: str
    path: Path
    before: bytes
    what: str
    content: bytes | None

    def do(self) -> None:
        if self.content is not None:
            self.path.write_bytes(self.content)
            return
        self.path.unlink(missing_ok=True)
        match self.what:
            case "a folder":
                self.path.mkdir()
            case "a pipe":
                os.mkfifo(self.path)
            case "a link to itself":
                self.path.symlink_to(self.path)
            case "a device":
                self.path.symlink_to("/dev/zero")
            case "a gigabyte":
                with self.path.open("wb") as file:
                    file.truncate(GIGABYTE)

    def is_there(self) -> bool:
        """Tell whether nobody has replaced it."""
        if self.content is not None:
            return self.path.is_file() and self.path.read_bytes() == self.content
        return not self.path.is_file() or self.path.is_symlink() or self.path.stat().st_size == GIGABYTE

    def undo(self) -> None:
        if self.is_there():
            if self.path.is_dir() and not self.path.is_symlink():
                shutil.rmtree(self.path)
            self.path.unlink(missing_ok=True)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(self.before)


def case(seed: int, number: int, world: World) -> list[Damage]:
    """Make the case with that number: kinds of file are as likely as one another."""
    rng = Random(f"{seed}:{number}")
    kinds: dict[str, list[Path]] = {}
    for path in world.files():
        kinds.setdefault(world.kind(path), []).append(path)
    chosen = rng.sample(sorted(kinds), rng.choice((1, 1, 1, 2, 3)))
    return [_damage(rng, kind, rng.choice(kinds[kind])) for kind in chosen]


def _damage(rng: Random, kind: str, path: Path) -> Damage:
    before = path.read_bytes()
    if rng.random() < 0.2:
        what = rng.choice(("a folder", "a pipe", "a link to itself", "a device", "a gigabyte", "nothing"))
        return Damage(kind, path, before, what, None)
    content = rng.choice((_changed(rng, before), bodies.bytes_changed(rng, before), b"", b"\0" * len(before)))
    return Damage(kind, path, before, repr(content[:300]), content)


def _changed(rng: Random, content: bytes) -> bytes:
    """Mutate a JSON document, or else bytes."""
    with suppress(ValueError):
        return bodies.changed(rng, json.loads(content))
    return bodies.bytes_changed(rng, content)


def run(folder: Path, port: int, seed: int, count: int) -> Found:
    """Run the cases `0 … count - 1` of the seed against the server of `folder` (benchmarks.fuzz.server.served)."""
    found = Found(seed)
    with world(folder, port) as running:
        for number in range(count):
            if len(found.failures) >= MOST_FAILURES:
                break
            damages = case(seed, number, running)
            for damage in damages:
                damage.do()
            for wrong in _faults(running):
                made = "; ".join(f"{damage.kind}: {damage.what}" for damage in damages)
                found.fail(f"case {number}: {wrong}; damaged {made}")
            for damage in damages:
                found.note(damage.kind, "stayed" if damage.is_there() else "mended")
                damage.undo()
    return found


def _faults(running: World) -> Iterator[str]:
    """Have each part meet the files, and yield what is wrong."""
    for name, read in running.readers.items():
        try:
            with _limited_time():
                read()
        except (SlipwayError, OSError) as error:
            if len(str(error)) > 2000:
                yield f"{name}: an error of {len(str(error))} characters: {str(error)[:300]}"
        except (Exception, _TooLong) as error:
            yield f"{name}: {type(error).__name__} {str(error)[:500]}"
    yield from neighbours(running.target)


class _TooLong(BaseException):
    """End of what takes too long, or for ever; no reader catches it."""


@contextmanager
def _limited_time() -> Iterator[None]:
    """Raise _TooLong in the block after LONGEST seconds."""

    def end(*_: object) -> None:
        raise _TooLong(f"it takes more than {LONGEST:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def world(folder: Path, port: int) -> Iterator[World]:
    """Provide the parts of the machine beside its server, with a file of each kind that one of them reads."""
    pointer = desired.read(folder / "var" / "serving", USECASE)
    assert pointer and pointer.champion
    shutil.copytree(folder / "var" / "store" / pointer.champion, folder / "registry")
    with ExitStack() as stack:
        url = stack.enter_context(responding(registry_of(USECASE, {"1": folder / "registry"}, {"champion": "1"})))
        own = {"SLIPWAY_VAR": str(folder / "var"), "MLFLOW_TRACKING_URI": url, "PREFECT_API_URL": f"{url}/api"}
        own |= {"SLIPWAY_KEYS": str(folder / "var" / "other-keys.json"), "SLIPWAY_SERVERS": f"http://127.0.0.1:{port}"}
        stack.enter_context(patch.dict(os.environ, own))
        stack.callback(settings.cache_clear)
        settings.cache_clear()
        running = World(Target.of(port), settings())
        _write_files(running)
        follower = Follower(USECASE, Registry(url), running.config)
        stack.callback(follower.close)
        follower.poll()
        running.readers = _readers(running.config, follower)
        yield running


def _write_files(running: World) -> None:
    """Write what other parts of the project leave for those that are under test."""
    assert not neighbours(running.target)  # two predictions are in the log
    api_keys.create(running.config.key_file, "ci", ["predict"])
    verdict.write(running.config, VERDICT, "20260101.json")
    decisions, facts = Decisions(running.config, USECASE), {"asked_for": "drift", "asked_by": "monitor"}
    decisions.start(datetime.now(UTC), "r1", reason="drift", **facts)
    decisions.refuse(datetime.now(UTC), "pause", reason="too soon", **facts)


def _readers(config: Settings, follower: Follower) -> dict[str, Callable[[], Any]]:
    watch, decisions, log = Watcher([USECASE], config), Decisions(config, USECASE), Log(config)
    shipper = Shipper(config, [ParquetSink(config)])
    return {
        "a worker that starts": lambda: _start_worker(config),
        "the follower": follower.poll,
        "the shipper": shipper.ship,
        "watch": watch.pass_once,
        "the key file": lambda: api_keys.read(config.key_file),
        "the verdict": lambda: verdict.latest(config, USECASE),
        "the decisions": lambda: (decisions.recent(), decisions.starts()),
        "the audit": lambda: audit.lines(USECASE, config),
        "the log": lambda: log.labelled(USECASE).fetchall(),
    }


def _start_worker(config: Settings) -> None:
    manager = ModelManager(USECASE, config, lambda *_: None)
    manager.start()
    manager.stop()
