"""Size of the new model, and its latency compared with the champion's."""

from __future__ import annotations

from pipelines.gates.candidate import Candidate, read_frame
from pipelines.gates.latency import measure_medians
from pipelines.packaging.probe import probe_rows
from slipway.contracts.bundle.gate_report import Gate
from slipway.inference import Predictor

_MB = 1_000_000


def size(candidate: Candidate) -> list[Gate]:
    """Limit the size of `serve/`, the part of the bundle that a server fetches."""
    found = sum(path.stat().st_size for path in (candidate.exported / "serve").iterdir()) / _MB
    most = candidate.usecase.gates.max_bundle_mb
    verdict = "failed" if found > most else "passed"
    return [
        Gate(
            "size",
            found,
            most,
            verdict,
            f"The part that a server fetches has {found:.1f} MB; at most {most:g} MB are allowed.",
        )
    ]


def latency(candidate: Candidate) -> list[Gate]:
    """Limit the median latency of single predictions, measured in `slipway serve` in turn with the champion's.

    Fails if the lower end of its interval is above both `gates.latency_floor_ms` and `gates.latency_ratio` times the
    upper end of the champion's.
    """
    if candidate.incumbent is None:
        return [Gate("latency", None, None, "passed", "There is no champion yet to compare with.")]
    assert candidate.champion
    folders = {"champion": candidate.champion, "challenger": candidate.exported}
    rows = {
        "champion": _sample_requests(candidate, candidate.incumbent),
        "challenger": _sample_requests(candidate, candidate.challenger),
    }
    medians, gates = measure_medians(candidate.usecase, folders, rows), candidate.usecase.gates
    its, champions = medians["challenger"], medians["champion"]
    most = max(gates.latency_ratio * champions.high, gates.latency_floor_ms)
    sentence = (
        f"In `slipway serve` on the CPU its median over {its.requests:,} predictions is {its}, the champion's, "
        f"measured in turn, {champions}; at most {gates.latency_ratio:g} × the champion's may be, and "
        f"{gates.latency_floor_ms:g} ms always."
    )
    verdict = "failed" if its.low > most else "passed"
    return [Gate("latency", its.low, most, verdict, sentence)]


def _sample_requests(candidate: Candidate, predictor: Predictor) -> list[dict]:
    """Return rows of the holdout as requests, the same ones for every bundle."""
    return probe_rows(predictor.schema, read_frame(candidate.holdout, predictor.schema))
