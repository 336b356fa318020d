"""What a run is told of itself (the facts that its bundle and its registration carry) and what it came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.artifacts import read_json
from pipelines.runs.run import Run
from slipway.config import UseCase


@dataclass(frozen=True)
class RunSummary:
    """`version` is None for a run that is not registered; `already` says that it was finished before."""

    usecase: str
    version: str | None
    gate: str
    reasons: list[str]
    scores: dict[str, Any]
    device: str
    synthetic: bool
    already: bool
    run_key: str
    folder: str


def provenance(usecase: UseCase, run: Run) -> dict[str, Any]:
    """Where the model comes from; the same for every call on the run, whenever it is resumed."""
    record, source = run.record, read_json(run.paths.ingest / "source.json")
    champion = {"version": record.standing.version, "digest": record.standing.digest}
    produced, sides = run.paths.production / "production.json", read_json(run.paths.split / "split.json")
    return {
        "usecase": usecase.name,
        "run_key": record.key,
        "attempt": record.attempt,
        "created": record.created,
        "cutoff": record.cutoff,
        "seed": usecase.seed,
        "overrides": record.overrides,
        "source": source,
        "synthetic": source["synthetic"],
        "data_sha256": source["snapshot_sha256"],
        "holdout_sha256": sides["holdout_sha256"],
        "champion": champion if record.standing.version else None,
        "production": read_json(produced) | {"joined": sides["production"]} if produced.exists() else None,
        "code_sha256": record.base["code"],
        "lock_sha256": record.base["lock"],
        **record.git,
    }


def summarize(usecase: UseCase, run: Run) -> RunSummary:
    verdict = read_json(run.paths.gate / "metrics.json")
    trained = read_json(run.paths.train / "training.json")
    registered = read_json(run.paths.register / "result.json") if run.registers else {}
    return RunSummary(
        usecase=usecase.name,
        version=registered.get("version"),
        gate="passed" if verdict["passed"] else "refused",
        reasons=[gate["sentence"] for gate in verdict["gates"] if gate["verdict"] == "failed"],
        scores=verdict["scores"],
        device=trained["device"],
        synthetic=read_json(run.paths.ingest / "source.json")["synthetic"],
        already=run.finished_before,
        run_key=run.record.key,
        folder=str(run.paths.root),
    )
