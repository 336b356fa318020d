"""A worker: the use cases that it serves, each with its model and its logs, from start to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from bentos import auth
from bentos.errors import Unavailable
from bentos.executor.admission import AdmissionController
from bentos.models import LoadedModel, ModelManager
from bentos.prediction.image_capture import ImageCapture
from bentos.server.protocol import cut_off_slow_senders, speak_problems
from bentos.telemetry.health import CHECK_SECONDS, HealthChecks
from bentos.telemetry.metrics import Metrics, forget_dead_workers, metrics
from slipway.prediction_log import Writer
from slipway.settings import Settings

TICK_SECONDS = 0.25
NOT_KEPT = "the log cannot be written, and nothing is answered here that is not in it."


class ServedModel:
    """One use case: its model, and the logs of its predictions and of its feedback. What is shared is the worker's."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        metrics: Metrics,
        capture: ImageCapture,
        slots: AdmissionController,
        conditions: HealthChecks,
    ) -> None:
        self.name = name
        self.settings = settings
        self.metrics = metrics
        self.capture = capture
        self.slots = slots
        self.conditions = conditions
        self.secret = settings.mask_secret()
        metrics.of(metrics.lost, name)  # an alert on it needs the series from the start
        self.holder = ModelManager(name, settings, self._changed)
        self.roles = self.holder.roles
        limits = settings.segment_bytes, settings.segment_seconds
        self.predictions = Writer(settings.spool, name, "prediction", *limits)
        self.feedback = Writer(settings.spool, name, "feedback", *limits)

    @property
    def live(self) -> LoadedModel:
        """The model that answers now. Raises Unavailable where there is none yet."""
        live = self.holder.live
        if live is None:
            raise Unavailable(f"{self.name} waits for {self.waits_for}")
        return live

    @property
    def waits_for(self) -> str:
        """What must come before this use case is answered, and why it has not."""
        known = (self.conditions.missing_source(self.name), self.holder.problem, *self.conditions.of(self.name))
        causes = [cause for cause in known if cause]
        if causes:
            return f"a version that can be served. {' '.join(causes)}"
        return f"its first version: promote one with `slipway promote {self.name} VERSION`."

    @property
    def warnings(self) -> list[str]:
        """What is wrong although it serves."""
        problem = self.holder.problem
        causes = [*([problem] if problem else []), *self.conditions.of(self.name)]
        return [f"{self.name}: {cause}" for cause in causes]

    def log(self, writer: Writer, lines: Sequence[bytes]) -> bool:
        """Write before the answer leaves: whether the lines are kept. What is lost is counted."""
        if writer.write(b"".join(lines)):
            return True
        self.metrics.of(self.metrics.lost, self.name).inc(len(lines))
        return False

    def close(self) -> None:
        self.holder.stop()
        self.predictions.close()
        self.feedback.close()

    def _changed(self, role: str, before: LoadedModel | None, after: LoadedModel | None) -> None:
        for model, value in ((before, 0), (after, 1)):
            if model is not None:
                labels = self.name, model.version, role, model.source, model.device
                self.metrics.of(self.metrics.model_info, *labels).set(value)


class Worker:
    """Everything between `start` and `stop`; made once, in the process that answers. `draining` is before `stop`."""

    def __init__(self, settings: Settings, names: Sequence[str]) -> None:
        self.settings = settings
        self.names = tuple(names)
        self.predict_paths = {f"/v1/models/{name}/predict": name for name in names}
        if len(names) == 1:
            self.predict_paths["/v1/predict"] = names[0]
        self.served: dict[str, ServedModel] = {}
        self.metrics = metrics()
        self.draining = False
        self.gate: auth.Authenticator
        self.slots = AdmissionController(settings, self.metrics)
        self._capture = ImageCapture(settings.spool)
        self._conditions = HealthChecks(settings, self.names, self.metrics)

    def start(self) -> None:
        """Raises SlipwayError where the server must not start."""
        _set_up_logging()
        for address in auth.listening_addresses():
            auth.check_bind_address(self.settings, address)
        self.gate = auth.Authenticator(self.settings, self.settings.mask_secret())
        speak_problems()
        cut_off_slow_senders(self.settings.max_receive_seconds, self.metrics)
        forget_dead_workers()
        self._conditions.run()
        for name in self.names:
            self.served[name] = ServedModel(
                name, self.settings, self.metrics, self._capture, self.slots, self._conditions
            )
        for served in self.served.values():
            served.holder.start()

    @property
    def machine(self) -> list[str]:
        """What is wrong with the machine, for every use case."""
        return self._conditions.machine

    @property
    def warnings(self) -> list[str]:
        """What a person should look at although every use case serves."""
        return [*self.machine, *(said for served in self.served.values() for said in served.warnings)]

    async def watch(self) -> None:
        """Look at what is around the models, in a thread: a volume that hangs must hold up nobody."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await asyncio.to_thread(self._conditions.run)

    async def tick(self) -> None:
        """Close segments of the log that are old, also where no further request comes, and bring the counts on."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.metrics.flush()
            for served in self.served.values():
                served.predictions.rotate_if_due()
                served.feedback.rotate_if_due()

    def stop(self) -> None:
        """After the last answer: nothing of the log is left in memory."""
        self.slots.close()
        self.gate.close()
        self._capture.close()
        for served in self.served.values():
            served.close()
        self.metrics.flush()


def _set_up_logging() -> None:
    """Our own lines; no access log, which uvicorn would format first; errors once, not twice as BentoML has them."""
    logging.getLogger("slipway").setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").propagate = False
    errors = logging.getLogger("uvicorn.error")
    errors.propagate = not errors.handlers
