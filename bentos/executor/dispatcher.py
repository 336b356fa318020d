"""Dispatcher: the one place that decides where a prediction runs, and which models answer it.

The champion runs on the event loop where it is fast enough for the body, else on the worker pool. A canary answers its
share, on its own thread; a shadow gets copies. Neither can make the response worse than the champion's.
"""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec

from bentos.errors import Abandoned, Busy, Late, ModelError, Unavailable
from bentos.executor.admission import AdmissionController
from bentos.executor.canary_routing import routes_to_canary, routing_unit
from bentos.executor.deadline import DeadlineJob
from bentos.models import LoadedModel
from bentos.models.candidate_roles import CandidateRoles
from bentos.models.candidate_runner import CandidateRunner
from bentos.prediction import pipeline, recorder
from bentos.prediction.context import ServingContext
from bentos.prediction.types import CANARY, SHADOW, CanaryFailure, PredictionCall
from bentos.request import ClientGone, Receive, Scope

_log = logging.getLogger("slipway.serving")


class Dispatcher:
    """Runs the predictions of one use case."""

    def __init__(self, admission: AdmissionController, roles: CandidateRoles) -> None:
        self._admission = admission
        self._roles = roles

    @property
    def has_canary(self) -> bool:
        """Whether a canary may answer in the champion's place."""
        candidates = self._roles.candidates
        return candidates is not None and candidates.canary is not None

    async def run(self, receive: Receive, scope: Scope, call: PredictionCall) -> bytes:
        """Return the canary's response if the request is routed to it and it is in time, else the champion's.

        Raises:
            Unavailable: admission control refused the request, or it was late; the log has no answered event of it.
            ClientGone: the client does not wait any more.
            InputError, ModelError: as `pipeline.run_one`, for the champion.
        """
        candidates = self._roles.candidates
        content = None
        if candidates is not None and candidates.canary is not None:
            canary = candidates.canary
            unit = routing_unit(scope, call.request.uuid)
            if routes_to_canary(canary.live.version, unit, candidates.weight, candidates.salt):
                content, failure = await _run_canary(canary, call)
                call = msgspec.structs.replace(call, canary_failure=failure)
        if content is None:
            if call.live.runs_inline(call.body):
                content = pipeline.run_one(call)
            else:
                content = await self._run_on_pool(receive, call)
        if candidates is not None:
            self.copy_to_shadow(call)
        return content

    def copy_to_shadow(self, call: PredictionCall) -> None:
        """Submit a copy of an answered request to the shadow, if there is one; a busy shadow gets none, and it is
        counted."""
        candidates = self._roles.candidates
        if candidates is None or candidates.shadow is None:
            return
        shadow = candidates.shadow
        if shadow.takes(len(call.body)):
            shadow.submit(ShadowCopy(call, shadow.live))
        else:
            _shed(call.context, shadow.live)

    async def _run_on_pool(self, receive: Receive, call: PredictionCall) -> bytes:
        deadline = call.live.deadline
        ticket = self._admission.admit(call.context.usecase, len(call.body), deadline)
        job = DeadlineJob(call, self._admission.thread_seconds(deadline))
        ticket.submit(job)
        watch = asyncio.create_task(_cancel_on_disconnect(receive, job))
        try:
            return await job.outcome()
        except Late as error:
            ticket.abandon(late=True)
            raise Unavailable(f"{error}.") from None
        except ClientGone:
            ticket.abandon(late=False)
            raise
        finally:
            watch.cancel()


async def _cancel_on_disconnect(receive: Receive, job: DeadlineJob) -> None:
    """Wait for the one message that follows the body in ASGI."""
    if (await receive())["type"] == "http.disconnect":
        job.cancel()


async def _run_canary(canary: CandidateRunner, call: PredictionCall) -> tuple[bytes | None, CanaryFailure | None]:
    """Return the canary's response, or why there is none. The champion repeats a request that the canary refused."""
    began = time.perf_counter_ns()
    job = DeadlineJob(
        msgspec.structs.replace(call, live=canary.live, role=CANARY, champion=call.live), call.live.deadline
    )
    if not canary.submit(job):
        # A canary that was closed this moment is not to blame.
        return None, None if canary.closed else CanaryFailure(canary.live, Busy(canary.live), began)
    try:
        return await job.outcome(), None
    except Exception as error:
        if job.answered:
            raise
        return None, CanaryFailure(canary.live, error, began)


class ShadowCopy:
    """A copy of a request for the shadow. Its response goes to the log and nowhere else."""

    caller = None  # nobody waits for it

    def __init__(self, call: PredictionCall, live: LoadedModel) -> None:
        now = time.perf_counter_ns()
        self._call = msgspec.structs.replace(
            call,
            live=live,
            role=SHADOW,
            champion=call.live,
            started=now,
            canary_failure=None,
            claim=self._is_in_time,
            awaited=self._is_in_time,
        )
        self._until = time.monotonic() + call.live.deadline
        self.size = len(call.body)

    @property
    def late(self) -> bool:
        return time.monotonic() > self._until

    def run(self) -> None:
        """Run the shadow, unless the copy is late."""
        context, live = self._call.context, self._call.live
        if self.late:
            _shed(context, live)
            return
        try:
            pipeline.run_one(self._call)
        except Abandoned:
            _shed(context, live)
        except ModelError:
            pass  # it is in the log
        except Exception as error:
            recorder.count_error(context, live, SHADOW)
            _log.debug("the shadow, version %s, could not read a request: %s", live.version, error)

    def _is_in_time(self) -> bool:
        return not self.late


def _shed(context: ServingContext, live: LoadedModel) -> None:
    context.metrics.of(context.metrics.shadow_shed, context.usecase, live.version).inc()
