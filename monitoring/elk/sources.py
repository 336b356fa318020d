"""The files of `elk/`, from which the resources are made."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import yaml

PIPELINES = ("events", "service")


def read(name: str) -> dict[str, Any]:
    """Read a file by its path in `elk/`, such as `ingest/events.yml`."""
    content: dict[str, Any] = yaml.safe_load((files("elk") / name).read_text(encoding="utf-8"))
    return content


def saved_objects() -> bytes:
    """Read the saved objects of Kibana."""
    return (files("elk") / "kibana" / "objects.ndjson").read_bytes()


def processors() -> frozenset[str]:
    """The kinds of ingest processors that the pipelines use."""
    return frozenset(kind for name in PIPELINES for kind in _kinds(read(f"ingest/{name}.yml")))


def _kinds(pipeline: dict[str, Any]) -> Iterator[str]:
    """Of a pipeline or of a processor: both have processors for failures."""
    for processor in [*pipeline.get("processors", ()), *pipeline.get("on_failure", ())]:
        for kind, options in processor.items():
            yield kind
            yield from _kinds({"on_failure": options.get("on_failure", ())})
