"""Check that no output of the demo shows a secret: no log, event, report, database or page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path

from scenarios.harness.checks import Check
from slipway.clients import http
from slipway.ecs_logging import known_secrets
from slipway.local import LocalServices
from slipway.settings import settings

_KEEP_SECRETS = {"mask.key", "mlflow.login", "prefect.login", "stack.json"}  # for their owner alone
_PAGES = {"status": ("/", "/api/status", "/metrics"), "service": ("/", "/metrics", "/v1/models")}


def check_secrets(services: LocalServices, since: datetime) -> Check:
    """Check that no page and no file of the state folder that was written since then holds a secret of this process."""
    known = [*known_secrets(settings(), os.environ), settings().mask_secret().decode()]
    secrets = [secret.encode() for secret in known]
    shown, looked_at = [], 0
    for name, content in chain(_files(services.var, since), _pages(services)):
        looked_at += 1
        if any(secret in content for secret in secrets):
            shown.append(name)
    observed = f"shown by {', '.join(shown)}" if shown else f"{looked_at} files and pages show none of {len(secrets)}"
    return Check("all", "secrets", not shown, observed)


def _files(var: Path, since: datetime) -> Iterator[tuple[str, bytes]]:
    for folder, _, names in os.walk(var):
        for path in (Path(folder, name) for name in names if name not in _KEEP_SECRETS):
            try:
                if path.is_file() and path.stat().st_mtime >= since.timestamp():
                    yield str(path), path.read_bytes()
            except FileNotFoundError:  # shipped, or renamed, meanwhile
                continue


def _pages(services: LocalServices) -> Iterator[tuple[str, bytes]]:
    for service, paths in _PAGES.items():
        for url in (f"{services.url(service)}{path}" for path in paths):
            yield url, http.request("GET", url, headers=settings().authorization).content
