"""Beside: a request where a canary or a shadow runs, too. Neither can make the answer worse than the champion's."""

from __future__ import annotations

import logging
import time

import msgspec

from bentos.errors import Busy, ModelError
from bentos.executor.canary_routing import chosen, unit_of
from bentos.executor.deadline import DeadlineJob, answer_in_thread
from bentos.models import LoadedModel
from bentos.models.candidate_runner import CandidateRunner
from bentos.prediction import recorder
from bentos.prediction.pipeline import answer_one
from bentos.prediction.types import CANARY, SHADOW, CanaryFailure, PredictionCall
from bentos.request import Receive, Scope
from bentos.worker import ServedModel

_log = logging.getLogger("slipway.serving")


async def answer_beside(receive: Receive, scope: Scope, call: PredictionCall) -> bytes:
    """The canary's answer where the choice falls on it and it has one in time, else the champion's; a copy goes to the
    shadow. Raises what the champion's `answer` raises."""
    canary, weight, _ = call.served.roles.candidates or (None, 0.0, None)
    content = None
    if canary is not None and chosen(canary.live.version, unit_of(scope, call.head.uuid), weight):
        content, fallen = await _of_canary(canary, call)
        call = msgspec.structs.replace(call, fallen=fallen)
    if content is None:
        if len(call.body) <= call.live.inline_bytes:
            content = answer_one(call)
        else:
            content = await answer_in_thread(receive, call)
    copy_to_shadow(call)
    return content


def copy_to_shadow(call: PredictionCall) -> None:
    """A copy of what was answered, where there is a shadow; one that is busy gets none, which is counted."""
    beside = call.served.roles.candidates
    if beside is None or beside.shadow is None:
        return
    shadow = beside.shadow
    if shadow.takes(len(call.body)):
        shadow.submit(ShadowCopy(call, shadow.live))
    else:
        _shed(call.served, shadow.live)


async def _of_canary(canary: CandidateRunner, call: PredictionCall) -> tuple[bytes | None, CanaryFailure | None]:
    """Its answer, or why there is none. A request that it refuses is left to the champion, which may not."""
    began = time.perf_counter_ns()
    job = DeadlineJob(msgspec.structs.replace(call, live=canary.live, role=CANARY), call.live.deadline)
    if not canary.submit(job):
        # One that was closed this moment is not to blame.
        return None, None if canary.closed else CanaryFailure(canary.live, Busy(canary.live), began)
    try:
        return await job.outcome(), None
    except Exception as error:
        if job.answered:
            raise
        return None, CanaryFailure(canary.live, error, began)


class ShadowCopy:
    """A request for the shadow: what it answers is in the log, and nowhere else."""

    def __init__(self, call: PredictionCall, live: LoadedModel) -> None:
        now = time.perf_counter_ns()
        self._call = msgspec.structs.replace(
            call, live=live, role=SHADOW, started=now, fallen=None, take_turn=self._in_time
        )
        self._until = time.monotonic() + call.live.deadline
        self.size = len(call.body)

    @property
    def late(self) -> bool:
        return time.monotonic() > self._until

    def run(self) -> None:
        served, live = self._call.served, self._call.live
        if self.late:
            _shed(served, live)
            return
        try:
            answer_one(self._call)
        except ModelError:
            pass  # it is in the log
        except Exception as error:
            recorder.error(served, live, SHADOW)
            _log.debug("the shadow, version %s, could not read a request: %s", live.version, error)

    def _in_time(self) -> bool:
        return not self.late


def _shed(served: ServedModel, live: LoadedModel) -> None:
    served.metrics.of(served.metrics.shadow_shed, served.name, live.version).inc()
