"""A synthetic log of the orders use case: predictions of a version, and labels of reliable and unreliable callers.

>>> log = ProductionLog(settings(), schema)
>>> log.answered(frame, start=0, version="1", digest=digest)     # row ids, one a second
>>> log.labelled(ids, truths, caller="shop")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway import ids as ids_module
from slipway.contracts.events import encoder, feedback_event, prediction_event
from slipway.contracts.schema import RowKeyer, Schema, mask
from slipway.prediction_log import Writer
from slipway.settings import Settings

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ProductionLog:
    def __init__(self, config: Settings, schema: Schema) -> None:
        self._config, self._schema, self._identify = config, schema, RowKeyer(schema)

    def answered(
        self,
        rows: Sequence[Mapping[str, Any]],
        answers: Sequence[Mapping[str, Any]],
        start: float = 0,
        *,
        version: str = "1",
        digest: str = "b" * 64,
        role: str = "champion",
        keys: Sequence[str] | None = None,
        caller: str | None = None,
    ) -> list[str]:
        """One prediction a second, as a server logs it; the ids of the rows."""
        secret, lines, ids = self._config.mask_secret(), [], []
        for place, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            masked = mask(row, self._schema, secret)
            key, bucket = self._identify.of_row(secret, masked)
            ids.append(ids_module.row_id(ids_module.uuid7(), 0))
            context = encoder.EventEncoder(
                environment=self._config.environment,
                usecase=self._schema.usecase,
                version=version,
                bundle_sha256=digest,
                role=role,
                answered=role != "shadow",
                timestamp=at(start + place),
                model_ms=0.2,
            )
            request = prediction_event.EventRequest("t" * 32, ids[-1], 1_000_000, caller)
            lines.append(
                context.encode_row(
                    request,
                    ids[-1],
                    masked,
                    answer=answer,
                    row_key=key.decode() if key else None,
                    split_bucket=bucket,
                    key=keys[place] if keys else None,
                )
            )
        self._write("prediction", lines)
        return ids

    def labelled(
        self,
        ids: Iterable[str],
        truths: Iterable[Any],
        sent: float = 1e6,
        *,
        caller: str | None = None,
        by: str = "row",
    ) -> None:
        """`by` is `row` for ids, `key` for the callers' own keys."""
        lines = []
        for place, (row, truth) in enumerate(zip(ids, truths, strict=True)):
            when = at(sent + place / 1000)
            outcome = {"label": truth} if isinstance(truth, str) else {"value": truth}
            lines.append(
                feedback_event.feedback_line(
                    environment=self._config.environment,
                    usecase=self._schema.usecase,
                    trace_id="t" * 32,
                    timestamp=when,
                    known_at=when,
                    caller=caller,
                    **{by: row},
                    **outcome,
                )[1]
            )
        self._write("feedback", lines)

    def _write(self, stream: str, lines: list[bytes]) -> None:
        writer = Writer(self._config.spool, self._schema.usecase, stream)
        for line in lines:
            assert writer.write(line)
        writer.close()
