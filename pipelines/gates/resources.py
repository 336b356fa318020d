"""What a server would have of the new model: its size, and its answers' time beside the champion's, in real servers."""

from __future__ import annotations

from pipelines.gates.candidate import Candidate, read_frame
from pipelines.gates.latency import measure_medians
from pipelines.packaging.probe import probe_rows
from slipway.contracts.bundle.gate_report import Gate
from slipway.inference import Predictor

_MB = 1_000_000


def size(judged: Candidate) -> list[Gate]:
    """The part of the bundle that a server fetches: `serve/`."""
    found = sum(path.stat().st_size for path in (judged.exported / "serve").iterdir()) / _MB
    most = judged.usecase.gates.max_bundle_mb
    verdict = "failed" if found > most else "passed"
    return [
        Gate("size", found, most, verdict, f"What a server fetches has {found:.1f} MB; at most {most:g} MB may be.")
    ]


def latency(judged: Candidate) -> list[Gate]:
    """The median of single predictions in `slipway serve`, asked in turn with the champion in a server of its own.

    Fails where even the lower end of its interval is above both `gates.latency_floor_ms` and `gates.latency_ratio`
    times the upper end of the champion's.
    """
    if judged.incumbent is None:
        return [Gate("latency", None, None, "passed", "There is no champion yet to measure beside.")]
    assert judged.champion
    folders = {"champion": judged.champion, "challenger": judged.exported}
    rows = {"champion": _asked(judged, judged.incumbent), "challenger": _asked(judged, judged.challenger)}
    found, gates = measure_medians(judged.usecase, folders, rows), judged.usecase.gates
    its, champions = found["challenger"], found["champion"]
    most = max(gates.latency_ratio * champions.high, gates.latency_floor_ms)
    told = (
        f"In `slipway serve` on the CPU its median over {its.requests:,} predictions is {its}, the champion's, asked "
        f"in turn, {champions}; at most {gates.latency_ratio:g} × the champion's may be, and "
        f"{gates.latency_floor_ms:g} ms always."
    )
    verdict = "failed" if its.low > most else "passed"
    return [Gate("latency", its.low, most, verdict, told)]


def _asked(judged: Candidate, predictor: Predictor) -> list[dict]:
    """Rows of the holdout as requests to that bundle, the same ones for every bundle."""
    return probe_rows(predictor.schema, read_frame(judged.holdout, predictor.schema))
