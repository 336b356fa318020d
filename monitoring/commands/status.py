"""`slipway status`: what runs, where, and in which version."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import typer

from slipway.cli.options import Json, print_json

if TYPE_CHECKING:
    from slipway.clients.mlflow.registry import ModelVersion, RegisteredModel
    from slipway.local import State
    from slipway.settings import Settings


def command(as_json: Json = False) -> None:
    """Show what runs, where, and in which version."""
    from slipway.local import running_stack
    from slipway.settings import settings

    found = settings()
    stack = running_stack(found.var.resolve())
    status = {
        "stack": {"command": stack.command, "pid": stack.pid} if stack else None,
        "parts": _parts(found, stack),
        "models": [_model(found, name) for name in _served(found)],
    }
    if as_json:
        print_json(status)
    else:
        typer.echo("\n".join(_lines(status, found)))


def _parts(found: Settings, stack: State | None) -> list[dict[str, Any]]:
    """Processes of the running stack, and servers that respond at the addresses of the settings."""
    from slipway.clients.http import is_healthy

    started = {part.name: part for part in stack.parts} if stack else {}
    parts = [
        {
            "name": name,
            "url": url,
            "answers": is_healthy(url + health),
            "pid": started.pop(name).pid if name in started else None,
        }
        for name, url, health in (
            ("mlflow", found.registry_uri, "/health"),
            ("prefect", found.prefect_uri.removesuffix("/api"), "/api/health"),
            ("service", found.server_urls[0], "/readyz"),
            ("watch", f"http://127.0.0.1:{found.status_port}", "/livez"),
        )
    ]
    return parts + [
        {"name": name, "url": part.url, "answers": is_healthy(part.url) if part.url else None, "pid": part.pid}
        for name, part in started.items()
    ]


def _served(found: Settings) -> list[str]:
    return sorted(path.parent.name for path in found.serving.glob("*/pointer.json"))


def _model(found: Settings, name: str) -> dict[str, Any]:
    """Version per worker of every server, and the version of the registry's alias."""
    from monitoring.release.server_status import all_server_statuses, name_served

    model, aliased = _registered(name, found.follow_alias)
    statuses = all_server_statuses(found.server_urls, name)
    workers = [
        {
            "server": status.address,
            "pid": worker.pid,
            "version": name_served(worker, aliased),
            "digest": worker.serving,
            "device": worker.device,
        }
        for status in statuses
        for worker in status.workers
    ]
    overridden = next((status.overridden for status in statuses if status.overridden), None)
    return {
        "usecase": name,
        "alias": found.follow_alias,
        "wanted": model.aliases.get(found.follow_alias),
        "workers": workers,
        "overridden": overridden,
        "canary": _canary(model),
    }


def _registered(name: str, alias: str) -> tuple[RegisteredModel, ModelVersion | None]:
    """The registered model and the version that has the alias, as far as the registry answers."""
    from slipway.clients.mlflow.registry import RegisteredModel, Registry
    from slipway.errors import RegistryError

    registry, model = Registry(timeout=3.0), RegisteredModel(name)
    with contextlib.suppress(RegistryError):
        model = registry.model(name)
        if number := model.aliases.get(alias):
            return model, registry.version(name, number)
    return model, None


def _canary(model: RegisteredModel) -> dict[str, Any] | None:
    """The running rollout; the status page has its evidence."""
    from monitoring.rollout import state

    running = state.read(model)
    if running is None or running.outcome:
        return None
    return {name: getattr(running, name) for name in ("version", "weight", "stage", "since", "began")}


def _lines(status: dict[str, Any], found: Settings) -> list[str]:
    stack = status["stack"]
    what = f"`slipway {stack['command']}` (pid {stack['pid']})" if stack else "no stack; `slipway up` starts one"
    lines = [f"{found.var.resolve()}: {what}"]
    width = max((len(part["name"]) for part in status["parts"]), default=0)
    for part in status["parts"]:
        state = {True: "up", False: "does not respond", None: "runs"}[part["answers"]]
        pid = f"pid {part['pid']}" if part["pid"] else ""
        lines.append(f"  {part['name']:{width}} {state:17}{pid:12}{part['url'] or ''}".rstrip())
    for model in status["models"]:
        served = {worker["version"] for worker in model["workers"]}
        by = (
            f"version {', '.join(sorted(filter(None, served)))} in {len(model['workers'])} workers"
            if served
            else "not served"
        )
        lines.append(f"  {model['usecase']}: {by}; {model['alias']} is {model['wanted'] or 'not known'}")
        if model["overridden"]:
            lines.append(f"    its gates failed; served by an override: {model['overridden']}")
        if canary := model["canary"]:
            lines.append(
                f"    version {canary['version']} is the canary, at {canary['weight']:g} %, in stage {canary['stage']} "
                f"since {canary['since']}"
            )
    return lines
