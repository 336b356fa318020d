"""Sample events of a use case that needs no folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from slipway.contracts.events import encoder, feedback_event, prediction_event

USECASE = "made_up"
START = datetime(2026, 3, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def prediction(row: str, seconds: float = 0, *, role: str = "champion", answered: bool = True, **more) -> bytes:
    context = encoder.EventEncoder(
        environment="local",
        usecase=USECASE,
        version="1",
        bundle_sha256="b" * 64,
        role=role,
        answered=answered,
        timestamp=at(seconds),
        model_ms=0.2,
    )
    answer = {"label": "good", "score": 0.25, "probabilities": more.pop("probabilities", {})}
    caller, is_test = more.pop("caller", None), more.pop("test", False)
    request = prediction_event.EventRequest("t" * 32, row, 1_000_000, caller, is_test)
    return context.encode_row(request, row, {"age": 40, "purpose": "car"}, answer=answer, **more)


def label(seconds: float, known: float, **what) -> bytes:
    sent = {"timestamp": at(seconds), "known_at": at(known), **what}
    return feedback_event.feedback_line(environment="local", usecase=USECASE, trace_id="t" * 32, **sent)[1]
