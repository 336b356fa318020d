"""The BentoML service: `bentoml serve bentos.service:slipway`, with our ASGI application in front of BentoML's own.

The service class has no API of its own: BentoML brings the supervisor, the workers and the image, and what it would add
to each request costs more than the request (docs/decisions/0001). The protocol class, below ASGI, is chosen here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import bentoml

from bentos import auth
from bentos.server import supervisor
from slipway import ecs_logging
from slipway.contracts.bundle import manifest, signing
from slipway.credentials import credentials_required
from slipway.errors import SettingsError, SlipwayError
from slipway.settings import Settings, exit_code, settings

if TYPE_CHECKING:
    from bentos.worker import Worker


HARDENED = "bentos.server.protocol:HardenedProtocol"
FAST_PATH = "bentos.fast_path.protocol:FastPathProtocol"


class FrontedService(bentoml.Service):
    """A service whose ASGI application is ours, with BentoML's behind it."""

    __slots__ = ()

    def to_asgi(self, is_main: bool = True) -> Any:
        ecs_logging.start("service", _settings)  # in place of the handlers that BentoML has just set up
        try:
            from bentos.api.application import Application
            from bentos.api.path_prefix import TRUSTED_PROXIES
            from bentos.worker import Worker
        except ImportError:  # the next start would fail, too: the supervisor would try for ever, with its port open
            supervisor.stop_supervisor(_settings, _names)
            raise
        if importlib.util.find_spec("httptools"):  # else uvicorn uses h11, and every request goes through ASGI
            import uvicorn

            uvicorn.config.HTTP_PROTOCOLS["auto"] = FAST_PATH if _takes_fast_path(_settings) else HARDENED
        # by uvicorn's default, whoever is on this machine may forge an address
        os.environ.setdefault(TRUSTED_PROXIES, "")
        front = Application(Worker(_settings, _names), super().to_asgi(is_main), _share_with_protocols)
        return auth.Cors(front, _settings.cors_origins) if _settings.cors_origins else front


def _takes_fast_path(settings: Settings) -> bool:
    """Return whether predictions may be answered below ASGI, where no headers for other origins are added."""
    return settings.fast_path == "on" and not settings.cors_origins


def _share_with_protocols(worker: Worker, state: dict[str, Any]) -> None:
    """Put into the lifespan's state what uvicorn's protocols need of the worker."""
    from bentos.server import connection_limits

    state[connection_limits.STATE_KEY] = connection_limits.connection_limits(worker.settings, worker.metrics)
    if _takes_fast_path(worker.settings):
        from bentos.fast_path import micro_batch

        state[micro_batch.STATE_KEY] = micro_batch.MicroBatch(worker, asyncio.get_running_loop())


def served_names(settings: Settings) -> tuple[str, ...]:
    """Return the use cases that SLIPWAY_SERVE names, or the use case of the bundle SLIPWAY_BUNDLE.

    Raises:
        SettingsError: none is named, or the bundle is of another use case.
        BundleError: the bundle is not complete.
    """
    if settings.bundle is None:
        if not settings.serve:
            raise SettingsError("SLIPWAY_SERVE names no use case: set it to one or more, as digits,credit_risk.")
        return tuple(dict.fromkeys(settings.serve))
    name = manifest.verify(settings.bundle, serving_only=True).usecase
    if settings.serve not in ((), (name,)):
        raise SettingsError(
            f"SLIPWAY_BUNDLE is of {name}, and SLIPWAY_SERVE says {', '.join(settings.serve)}: serve that."
        )
    return (name,)


def _configuration(settings: Settings) -> dict[str, Any]:
    """Configure BentoML. Its metrics, access log and tracing stay off: ours know the use case, and cost less."""
    return {
        "workers": settings.workers or len(os.sched_getaffinity(0)),
        "http": {"host": "127.0.0.1" if settings.host == "localhost" else settings.host, "port": settings.service_port},
        "metrics": {"enabled": False},
        "logging": {"access": {"enabled": False}},
        "monitoring": {"enabled": False},
    }


def _load_settings() -> tuple[Settings, tuple[str, ...]]:
    """Load and check the settings; also in the supervisor, so that errors are found before a port is open.

    Workers inherit that credentials are required, and so need nothing of the disk to know it when they start again.
    """
    try:
        found = settings()
        auth.check_bind_address(found)
        if credentials_required(found):
            os.environ["SLIPWAY_REQUIRE_CREDENTIALS"] = "true"
        signing.trusted(found.trusted_keys)
        return found, served_names(found)
    except SlipwayError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(exit_code(error)) from None


logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every malformed form, which is answered
_settings, _names = _load_settings()


@bentoml.service(name="slipway", service_class=FrontedService, **_configuration(_settings))
class slipway:
    """Predictions and feedback for the use cases that are served."""
