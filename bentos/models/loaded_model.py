"""Loaded model: a verified bundle with its network in memory, ready to predict."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from bentos.models.batch_size import UNMEASURED, BatchSize, measure_batch_size
from bentos.models.output_cache import OutputCache
from bentos.models.published_rows import PublishedRows
from bentos.models.validation import validate
from slipway.contracts.bundle import gate_report, signing
from slipway.contracts.bundle import manifest as bundle
from slipway.contracts.bundle.gate_report import GateReport
from slipway.contracts.bundle.manifest import Manifest
from slipway.contracts.objectives import Objectives
from slipway.contracts.schema import RowKeyer
from slipway.errors import BundleError
from slipway.inference import Predictor
from slipway.inference.instance_parser import InstanceParser
from slipway.inference.predictor import Parts
from slipway.serving_state import desired

INLINE_SECONDS = 0.0005  # handing a request over to a thread and back takes about as long
INLINE_BYTES = 48 << 10  # a request of this much JSON takes 1.5 ms; a thread holds the interpreter for up to 5 ms
INLINE_VALUES = 4096  # of all rows, given or left out: about as many as INLINE_BYTES hold
_LEAST_ROW = 3  # bytes: `{},`
_WARM_UP_RUNS = 5


class LoadedModel:
    """A bundle that can predict. It never changes once it serves: requests in flight keep the one they started with."""

    def __init__(
        self, usecase: str, manifest: Manifest, verdict: GateReport, predictor: Predictor, source: str
    ) -> None:
        self.usecase = usecase
        self.manifest = manifest
        self.verdict = verdict
        self.predictor = predictor
        self.source = source
        self.schema = predictor.schema
        self.serving = predictor.serving
        self.device = predictor.device
        self.deadline = predictor.serving.get("deadline_ms", 1000) / 1000  # seconds
        self.objectives = Objectives.of(predictor.serving)
        self.reader = InstanceParser(self.schema)
        self.identify = RowKeyer(self.schema)
        self.probe_rows = predictor.probe_rows()
        self.cache: OutputCache | None = None
        self.digest = ""
        self.version = ""
        self.override: str | None = None
        self.scores: dict[str, Any] = {}
        self.model = b"{}"
        self.inline_bytes = INLINE_BYTES
        self.inline_rows = max(INLINE_VALUES // max(len(self.schema.names), 1), 1)
        self.batching = UNMEASURED

    @property
    def examples(self) -> list[dict[str, Any]]:
        """The first rows of the probe, in the form that a client sends."""
        return self.predictor.probe["rows"][:8]

    @cached_property
    def published_rows(self) -> PublishedRows:
        """The rows of the probe, as the parser reads those of a request."""
        return PublishedRows(self.schema, self.reader.rows(self.predictor.probe["rows"]))

    def runs_inline(self, body: bytes) -> bool:
        """Whether the event loop answers this body: one with few bytes, and few rows, however short these are."""
        if len(body) > self.inline_bytes:
            return False
        return len(body) <= _LEAST_ROW * self.inline_rows or body.count(b"{") + body.count(b"[") <= self.inline_rows + 2

    def tune_batch_size(self, mode: str) -> None:
        """Choose the batch size for this model on this device; `mode` is the setting SLIPWAY_BATCHING."""
        self.batching = self._tuned_batch_size(mode)

    def _tuned_batch_size(self, mode: str) -> BatchSize:
        if mode == "off":
            return BatchSize(1, "SLIPWAY_BATCHING is off")
        if self.inline_bytes >= 0:
            return BatchSize(1, "the model answers in less time than a queue would take")
        if self.cache is not None:
            return BatchSize(1, "rows are looked up in the cache, request by request")
        return measure_batch_size(self.predictor.run, self.predictor.encode(self.probe_rows), self.deadline)


def load(
    directory: Path,
    usecase: str,
    *,
    digest: str | None = None,
    source: str = "pointer",
    device: str = "auto",
    sandbox: Callable[[], None] = lambda: None,
) -> LoadedModel:
    """Load the bundle in `directory` and warm it up. Digest, signature and gates are checked before `serve/` is parsed.

    Each file is read once: what is loaded are the bytes that were checked. `sandbox` is called before the network is.

    Raises:
        BundleError: the bundle is not the registered one, unsigned, of another use case, not allowed, or not loadable.
        SettingsError: the configured device cannot be used.
    """
    manifest, content = bundle.read_verified(directory, digest)
    signing.require(directory, content[bundle.MANIFEST])
    if manifest.usecase != usecase:
        raise BundleError(f"the bundle in {directory} is of the use case {manifest.usecase}, not of {usecase}.")
    stored = desired.stored_version(directory)
    override = stored.override if stored else None
    report = gate_report.parse_gate_report(content[bundle.METRICS], directory / bundle.METRICS)
    verdict = gate_report.require_passed(report, override)
    parts = Parts.parse(directory, content)
    validate(parts, usecase)
    sandbox()
    predictor = Predictor(directory, device, parts)
    loaded = LoadedModel(usecase, manifest, verdict, predictor, source)
    loaded.digest = digest or hashlib.sha256(content[bundle.MANIFEST]).hexdigest()
    loaded.version = stored.version if stored else loaded.digest[:12]
    loaded.override = override
    if entries := loaded.serving.get("cache"):
        loaded.cache = OutputCache(entries, loaded.digest)
    loaded.model = msgspec.json.encode({"name": usecase, "version": loaded.version})
    loaded.scores = msgspec.json.decode(content[bundle.METRICS]).get("scores", {})
    _warm_up(loaded)
    return loaded


def _warm_up(loaded: LoadedModel) -> None:
    """Run the network until its memory is allocated, and keep a slow one off the event loop.

    Image models stay off it, too: a small file may hold many pixels.
    """
    if not loaded.probe_rows:
        raise BundleError("the probe has no rows: the bundle cannot be checked before it serves.")
    feeds = loaded.predictor.encode(loaded.probe_rows[:1])
    seconds = []
    for _ in range(_WARM_UP_RUNS):
        started = time.perf_counter()
        loaded.predictor.run(feeds)
        seconds.append(time.perf_counter() - started)
    if min(seconds) > INLINE_SECONDS or loaded.schema.images:
        loaded.inline_bytes = -1
