"""A worker process: the use cases that it serves, each with its model and its logs, from start to shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from prometheus_client.registry import Collector

from bentos import auth
from bentos.errors import NotReady
from bentos.executor.admission import AdmissionController, BodyBudget
from bentos.executor.dispatcher import Dispatcher
from bentos.models import LoadedModel, ModelManager
from bentos.prediction.context import ServingContext
from bentos.prediction.image_capture import ImageCapture
from bentos.request import RequestContext
from bentos.server import processes
from bentos.telemetry.health import CHECK_SECONDS, HealthChecks
from bentos.telemetry.metrics import Metrics, metrics
from bentos.telemetry.served_versions import ServedVersions
from bentos.telemetry.shared_files import forget_dead_workers
from slipway.prediction_log import Writer
from slipway.serving_state import additions
from slipway.settings import Settings
from slipway.system.repeated_errors import RepeatedErrors
from slipway.telemetry.certificates import CertificateFiles
from slipway.telemetry.credentials import CredentialMetrics
from slipway.telemetry.gpus import GpuMetrics
from slipway.telemetry.processes import ProcessMetrics

TICK_SECONDS = 0.25
_OUTCOMES = {"serving": "swapped", "failed": "failed", "refused": "refused"}  # of an attempt, as the metric names them
_log = logging.getLogger("slipway.serving")


class ServedModel:
    """One use case: its model, and the logs of its predictions and of its feedback. The arguments are the worker's."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        metrics: Metrics,
        capture: ImageCapture,
        admission: AdmissionController,
        health: HealthChecks,
    ) -> None:
        self.name = name
        self.settings = settings
        self.metrics = metrics
        metrics.of(metrics.lost, name)  # an alert on it needs the series from the start
        metrics.expose_predictions(name)
        for outcome in _OUTCOMES.values():
            metrics.of(metrics.swaps, name, outcome)
        self.versions = ServedVersions(lambda version: metrics.forget(usecase=name, version=version))
        self.manager = ModelManager(name, settings, self._count_change, self._count_attempt)
        self.dispatcher = Dispatcher(admission, self.manager.roles)
        self.body_budget = BodyBudget(admission, name)
        limits = settings.segment_bytes, settings.segment_seconds
        self.predictions = Writer(settings.spool, name, "prediction", *limits)
        self.feedback = Writer(settings.spool, name, "feedback", *limits)
        log = partial(self.log, self.predictions)
        self.context = ServingContext(name, settings, metrics, log, settings.mask_secret(), capture)
        self._health = health

    @property
    def live(self) -> LoadedModel:
        """The model that serves. Raises NotReady where there is none yet."""
        live = self.manager.live
        if live is None:
            raise NotReady(
                f"{self.name} has no model that can be served yet.", f"{self.name} waits for {self.waits_for}"
            )
        return live

    @property
    def waits_for(self) -> str:
        """What this use case waits for before it can answer, and why it does not have it."""
        causes = [self._health.missing_source(self.name), *self._problems]
        causes = [cause for cause in causes if cause]
        if causes:
            return f"a version that can be served. {' '.join(causes)}"
        return f"its first version: promote one with `slipway promote {self.name} VERSION`."

    @property
    def warnings(self) -> list[str]:
        """Problems that do not stop it from serving."""
        return [f"{self.name}: {problem}" for problem in self._problems]

    @property
    def _problems(self) -> list[str]:
        problem = self.manager.problem
        return [*([problem] if problem else []), *self._health.of(self.name)]

    def body_limit(self, live: LoadedModel) -> int:
        """The largest body of a prediction request, in bytes."""
        return self.settings.body_limit(images=bool(live.schema.images))

    def log(self, writer: Writer, lines: Sequence[bytes]) -> bool:
        """Write lines before their response is sent, and return whether they are kept. Lost lines are counted."""
        if writer.write(b"".join(lines)):
            return True
        self.metrics.of(self.metrics.lost, self.name).inc(len(lines))
        return False

    def rotate(self, writer: Writer) -> None:
        """Close a segment that is due, and count lines that somebody removed with one."""
        if removed := writer.rotate_if_due():
            self.metrics.of(self.metrics.lost, self.name).inc(removed)

    def close(self) -> None:
        """Stop following the desired state, and close the logs."""
        self.manager.stop()
        self.predictions.close()
        self.feedback.close()

    def _count_attempt(self, outcome: str) -> None:
        self.metrics.of(self.metrics.swaps, self.name, _OUTCOMES[outcome]).inc()

    def _count_change(self, role: str, before: LoadedModel | None, after: LoadedModel | None) -> None:
        for model, value in ((before, 0), (after, 1)):
            if model is not None:
                labels = self.name, model.version, role, model.source, model.device
                self.metrics.of(self.metrics.model_info, *labels).set(value)
        self.versions.change(role, after.version if after else None)
        if role == "champion" and after is not None:
            self.metrics.set_objectives(self.name, after.objectives)


class Worker:
    """The state of a worker process between `start` and `stop`. `draining` is true in the seconds before `stop`.

    `names` and `predict_paths` are replaced when a use case is added; `on_addition` are called then.
    """

    def __init__(self, settings: Settings, names: Sequence[str]) -> None:
        self.settings = settings
        self.names = tuple(names)
        self.predict_paths = _predict_paths(self.names, settings.root_path)
        self.served: dict[str, ServedModel] = {}
        self.on_addition: list[Callable[[], None]] = []
        self._arriving: dict[str, ServedModel] = {}
        self.metrics = metrics()
        self.draining = False
        self.authenticator: auth.Authenticator
        self.admission = AdmissionController(settings, self.metrics)
        self._capture = ImageCapture(settings.spool)
        self._health = HealthChecks(settings, self.names, self.metrics)
        self._certificates = CertificateFiles({"SLIPWAY_REDIS_URL": _redis_certificate(settings)})

    def start(self) -> None:
        """Load what is served. Raises SlipwayError where the server must not start."""
        _set_up_logging()
        forget_dead_workers()  # before what may fail, and is then tried again for ever
        for address in auth.listening_addresses():
            auth.check_bind_address(self.settings, address)
        self.authenticator = auth.Authenticator(self.settings, self.settings.mask_secret())
        self._health.run()
        self.served = {name: self._serve(name) for name in self.names}
        for served in self.served.values():
            served.manager.start()
        self.load_additions()
        self.admit_additions()

    def load_additions(self) -> None:
        """Begin to load the use cases that are to be served in addition; a call may take seconds."""
        named = additions.read(self.settings.serve_file) if self.settings.bundle is None else ()
        for name in named:
            if name not in self.served and name not in self._arriving:
                self._health.add(name)
                self._arriving[name] = self._serve(name)
                self._arriving[name].manager.start()

    def admit_additions(self) -> None:
        """Serve those that have a model by now: one without a model would make this server unready."""
        arrived = [name for name, served in self._arriving.items() if served.manager.live]
        for name in arrived:
            self.served[name] = self._arriving.pop(name)
        if arrived:
            self.names = (*self.names, *arrived)
            self.predict_paths = _predict_paths(self.names, self.settings.root_path)
            for notify in self.on_addition:
                notify()

    def visible(self, context: RequestContext) -> list[str]:
        """Return the use cases that the client of an admitted request may know of."""
        return self.authenticator.visible(context, self.names)

    @property
    def collectors(self) -> list[Collector]:
        """What `/metrics` shows beside the metrics that workers count."""
        return [
            ProcessMetrics(lambda: processes.find(self.settings, self.names)),
            self._health.disks,
            GpuMetrics(),
            CredentialMetrics(self.authenticator.expiries, self._certificates.expiries),
        ]

    @property
    def machine(self) -> list[str]:
        """Problems of the machine, which affect every use case."""
        return self._health.machine

    def warnings(self, usecases: Iterable[str]) -> list[str]:
        """Return the problems of the machine and of these use cases that a person should see to, although all serve."""
        return [*self.machine, *(warning for name in usecases for warning in self.served[name].warnings)]

    def start_draining(self) -> None:
        """Report that this worker is not ready, and close connections after their response."""
        self.draining = True

    async def watch(self) -> None:
        """Run the health checks and look for additions repeatedly, in a thread: a volume that hangs must not block
        requests."""
        checks, loads = RepeatedErrors(_log, "the health check"), RepeatedErrors(_log, "serving another use case")
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            with checks.logged():
                await asyncio.to_thread(self._health.run)
            with loads.logged():
                await asyncio.to_thread(self.load_additions)
                self.admit_additions()

    async def tick(self) -> None:
        """Close old segments of the log, also without further requests; flush metrics and audit log; repeatedly."""
        guards: dict[str, RepeatedErrors] = {}
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for task, step in self._chores():
                if task not in guards:
                    guards[task] = RepeatedErrors(_log, task)
                with guards[task].logged():
                    step()

    def _serve(self, name: str) -> ServedModel:
        return ServedModel(name, self.settings, self.metrics, self._capture, self.admission, self._health)

    def _chores(self) -> Iterator[tuple[str, Callable[[], object]]]:
        yield "flushing the metrics", self.metrics.flush
        yield "flushing the audit log", self.authenticator.audit_log.flush
        for name, served in self.served.items():
            yield f"closing segments of {name}'s prediction log", partial(served.rotate, served.predictions)
            yield f"closing segments of {name}'s feedback log", partial(served.rotate, served.feedback)
            yield f"leaving out metrics of {name}'s earlier versions", served.versions.tidy

    def stop(self) -> None:
        """Close everything after the last response: nothing of the log is left in memory."""
        self.admission.close()
        self.authenticator.close()
        self._capture.close()
        for served in (*self.served.values(), *self._arriving.values()):
            served.close()
        self.metrics.flush()


def _predict_paths(names: Sequence[str], root_path: str) -> dict[str, str]:
    """Map the paths of predictions to their use cases: also below the path of a proxy, which not every one removes."""
    paths = {f"/v1/models/{name}/predict": name for name in names}
    if len(names) == 1:
        paths["/v1/predict"] = names[0]
    return paths | {root_path + path: name for path, name in paths.items()}


def _redis_certificate(settings: Settings) -> Path | None:
    """The file of the certificate that this worker presents to Redis, if the URL names one, as redis-py reads it."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    found = parse_qs(urlsplit(url).query).get("ssl_certfile")
    return Path(found[0]) if found else None


def _set_up_logging() -> None:
    """Write no access log, which uvicorn would format first, and no line for invalid HTTP: its sender is answered, and
    could fill the disk with them."""
    logging.getLogger("uvicorn.access").propagate = False
    logging.getLogger("uvicorn.error").addFilter(_is_no_invalid_request)


def _is_no_invalid_request(record: logging.LogRecord) -> bool:
    return record.msg != "Invalid HTTP request received."
