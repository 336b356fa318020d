"""The BentoML service: `bentoml serve bentos.service:slipway`, with our callable in front of its application.

The service class has no API of its own: BentoML brings the supervisor, the workers and the image, and what it would add
to each request costs more than the request (docs/decisions/0001).
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import bentoml

from bentos import auth
from bentos.server import supervisor
from slipway.contracts.bundle import manifest, signing
from slipway.errors import SettingsError, SlipwayError
from slipway.settings import Settings, exit_code, settings


class FrontedService(bentoml.Service):
    """A service whose application is ours, with BentoML's behind it."""

    __slots__ = ()

    def to_asgi(self, is_main: bool = True) -> Any:
        try:
            from bentos.api.application import Application
            from bentos.worker import Worker
        except ImportError:  # it lacks at the next start, too: the supervisor would try for ever, its port open
            supervisor.end_it(_settings, _names)
            raise
        front = Application(Worker(_settings, _names), super().to_asgi(is_main))
        return auth.Cors(front, _settings.cors_origins) if _settings.cors_origins else front


def served_names(settings: Settings) -> tuple[str, ...]:
    """The use cases that SLIPWAY_SERVE names, or the one whose bundle SLIPWAY_BUNDLE is.

    Raises:
        SettingsError: none is named, or a bundle is given for several or for another one.
        BundleError: the bundle is not whole.
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
    """BentoML's own metrics, access log and tracing stay off: ours know the use case, and cost less."""
    return {
        "workers": settings.workers or len(os.sched_getaffinity(0)),
        "http": {"host": "127.0.0.1" if settings.host == "localhost" else settings.host, "port": settings.service_port},
        "metrics": {"enabled": False},
        "logging": {"access": {"enabled": False}},
        "monitoring": {"enabled": False},
    }


def _checked() -> tuple[Settings, tuple[str, ...]]:
    """What can be wrong is found here, in the supervisor too: before a port is open."""
    try:
        found = settings()
        auth.check_bind_address(found)
        signing.trusted(found.trusted_keys)
        return found, served_names(found)
    except SlipwayError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(exit_code(error)) from None


logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every malformed form, which we answer
_settings, _names = _checked()


@bentoml.service(name="slipway", service_class=FrontedService, **_configuration(_settings))
class slipway:
    """Predictions and feedback for the use cases that are served."""
