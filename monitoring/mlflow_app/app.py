"""Factory of the app, which `mlflow server --app-name slipway` starts (extension point `mlflow.app`).

With SLIPWAY_MLFLOW_LOGIN it is MLflow's own basic-auth app inside, with its users and roles.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import mlflow.server
from flask import Flask, Response, g, request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    TEMPORARILY_UNAVAILABLE,
)
from mlflow.server.fastapi_app import create_fastapi_app
from mlflow.server.handlers import _get_request_message, get_endpoints

from monitoring.mlflow_app.login import with_login
from monitoring.mlflow_app.registry_changes import READERS, RegistryChange
from monitoring.mlflow_app.users import PROMOTER, READER, may_only_read, may_promote
from monitoring.release.admissibility import require_servable_version
from slipway import audit
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import CANARY, CHALLENGER, CHAMPION, SHADOW
from slipway.errors import BundleError, NotFound, RegistryError, ServiceError, SettingsError
from slipway.settings import Settings, settings

SERVED = (CHAMPION, CHALLENGER, CANARY, SHADOW)
_READS = ("GET", "HEAD", "OPTIONS")
_AT_ONCE = 8  # of MLflow's 40 threads: each change asks this same server for what it changes
_log = logging.getLogger("slipway.mlflow")


def create_app(app: Flask = mlflow.server.app) -> Any:
    """Put the checks before MLflow's routes, behind its login where there is one."""
    config = settings()
    # MLflow has put its database into MLFLOW_TRACKING_URI; this is where the server itself listens
    config = config.model_copy(update={"mlflow_tracking_uri": f"http://127.0.0.1:{config.mlflow_port}"})
    wrapped = with_login(app, config) if config.mlflow_login else create_fastapi_app(app)
    gate = Gate(config)
    app.before_request(gate.check)  # after the login's: functions run in the order in which they were added
    return wrapped


class Gate:
    """Checks before MLflow handles a request; what it returns is the response, and None lets the request through."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._readers = _routes()
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def check(self) -> Response | None:
        """Refuse the change that the request makes, or write it into the audit before MLflow makes it."""
        user = g.get("mlflow_authenticated_user")
        if user and request.method not in _READS and may_only_read(mlflow.server.auth.store, user):
            return _error(PERMISSION_DENIED, f"{user} has the role {READER!r}, and may only read.", 403)
        found = self._readers.get((request.url_rule.rule, request.method)) if request.url_rule else None
        if found is None:
            return None
        if not self._free.acquire(blocking=False):
            return _error(TEMPORARILY_UNAVAILABLE, "too many changes at once: try again.", 503)
        try:
            return self._check(*found, user)
        finally:
            self._free.release()

    def _check(self, message: type, reader: Any, user: str | None) -> Response | None:
        registry = Registry(self._config.registry_uri)
        try:
            change = _read(message, reader, registry)
            if change:
                self._refuse(change, user, registry)
                self._record(change, user)
        except RegistryError as error:
            return _error(INVALID_PARAMETER_VALUE, f"The change could not be checked: {error}", 400)
        except _Refused as refused:
            return _error(refused.code, str(refused), refused.status)
        return None

    def _refuse(self, change: RegistryChange, user: str | None, registry: Registry) -> None:
        if user and change.decisive and not may_promote(mlflow.server.auth.store, user):
            reason = f"{user} may not {_deed(change)}: that needs the role {PROMOTER!r}, which an administrator gives."
            raise _Refused(PERMISSION_DENIED, reason)
        if change.refusal:
            raise _Refused(INVALID_PARAMETER_VALUE, change.refusal)
        if change.to is None or change.alias not in SERVED:
            return
        number = change.aliases.get(CHAMPION)
        champion = registry.version(change.usecase, number) if number and change.alias != CHALLENGER else None
        try:
            require_servable_version(registry, change.to, champion)
        except (BundleError, SettingsError) as error:
            what = f"{change.usecase} version {change.to.version} cannot be {change.alias}"
            raise _Refused(INVALID_PARAMETER_VALUE, f"{what}: {error}") from None

    def _record(self, change: RegistryChange, user: str | None) -> None:
        """Write the audit line; a log that is down stops what it must not miss."""
        who, evidence = user or audit.UNKNOWN, {**change.evidence, "login": user is not None}
        try:
            audit.append(
                change.usecase,
                change.action,
                who=who,
                version=change.version,
                evidence=evidence,
                config=self._config,
            )
        except (ServiceError, OSError) as error:
            if change.must_be_written:
                reason = f"Nobody may {_deed(change)} while the audit cannot be written: {error}"
                raise _Refused(INTERNAL_ERROR, reason, 500) from None
            _log.error("%s: %s by %s is in no audit line: %s", change.usecase, evidence, who, error)


class _Refused(Exception):
    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


def _read(message: type, reader: Any, registry: Registry) -> RegistryChange | None:
    try:
        return reader(_get_request_message(message()), registry)
    except (NotFound, MlflowException):
        return None  # MLflow itself says that there is no such model, or what the request lacks


def _routes() -> Mapping[tuple[str, str], tuple[type, Any]]:
    """All routes of the requests in READERS, by path and method."""
    found = get_endpoints(lambda message: (message, READERS[message]) if message in READERS else None)
    return {
        (path, method): reader for path, reader, methods in found if isinstance(reader, tuple) for method in methods
    }


def _deed(change: RegistryChange) -> str:
    if change.alias:
        return f"move {change.alias!r} of {change.usecase}"
    if tag := change.evidence.get("tag"):
        return f"change the tag {tag} of {change.usecase}"
    return f"change {change.usecase} ({change.action})"


def _error(code: int, message: str, status: int) -> Response:
    """MLflow's own form of an error, which its dialogs show."""
    content = MlflowException(message, code).serialize_as_json()
    return Response(content, status, mimetype="application/json")
