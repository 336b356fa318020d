"""`slipway up`: the whole stack, kept running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slipway.console import say
from slipway.errors import ServiceError


class Server(StrEnum):
    prometheus, alertmanager, grafana = "prometheus", "alertmanager", "grafana"
    elasticsearch = "elasticsearch"


def command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Use cases to serve; all that have a champion.")
    ] = None,
    beside: Annotated[
        list[Server] | None,
        typer.Option("--with", metavar="SERVER", help="Start prometheus, alertmanager, grafana or elasticsearch, too."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything runs; `down` ends it.")] = False,
) -> None:
    """Start the whole stack and keep it running until Ctrl-C or `slipway down`.

    It goes on from what is in the state folder: nothing is trained again. A use case that is promoted later is served
    and scheduled, too, within seconds, while the others go on; with NAMEs only those. `--with` may be given several
    times; a server that is not installed is named with what installs it, and the rest goes on without it. The status
    page reads from Prometheus and Alertmanager, and the shipper brings events to Elasticsearch, unless the settings
    name others.
    """
    if detach:
        _detach(names or [], beside or [])
    else:
        _run(names or [], beside or [])


def _run(names: list[str], beside: list[Server]) -> None:
    from slipway.config import names as known
    from slipway.local import Stack, claim_services, page_links
    from slipway.local.monitoring_servers import monitoring_servers
    from slipway.local.newcomers import Newcomers

    with Stack(say) as stack:
        local = claim_services(stack, "up", say)
        monitoring = monitoring_servers(local, beside, say)
        say("starting the registry and the orchestration")
        stack.start(local.mlflow(), local.prefect())
        served = _champions(names or known())
        read = monitoring.start(stack, say)
        os.environ.update(read)
        stack.publish_environment({**local.env, **read})
        _set_up_search()
        say("starting what serves and watches")
        server = [local.service(served)] if served else []
        scheduled = known()
        ship = local.ship(monitoring.ship_port)
        stack.start(ship, local.runner(scheduled), *server, local.watch())  # what starts first ends last
        try:
            stack.ready()
            typer.echo("\n".join([*page_links(local, served), *monitoring.page_links()]))
            say("Ctrl-C, or `slipway down` in another terminal, ends all of it.")
            stack.keep(look=Newcomers(stack, local, names, served, scheduled, say).look)
        except (KeyboardInterrupt, SystemExit):  # a person asked for it, here or with `down`: that is no failure
            say("ending all of it")


def _set_up_search() -> None:
    """Write the templates of Elasticsearch, where there is one; a server that refuses them stops nothing."""
    from slipway.settings import settings

    settings.cache_clear()
    if not settings().elasticsearch_url:
        return
    ran = subprocess.run([sys.executable, "-m", "slipway.cli", "elk", "setup"], stderr=subprocess.PIPE, text=True)
    if ran.returncode:
        say(f"{ran.stderr.strip()}\nElasticsearch is not set up: run `slipway elk setup` when this is mended")


def _champions(names: list[str]) -> list[str]:
    """Select the use cases that have a champion to serve; report the others."""
    from slipway.clients.mlflow.registry import Registry
    from slipway.local.newcomers import has_champion

    registry, found = Registry(), []
    for name in names:
        if has_champion(registry, name):
            found.append(name)
            continue
        say(f"  {name} has no champion, so it is not served: slipway train {name}; slipway promote {name} VERSION")
    return found


def _detach(names: list[str], beside: list[Server]) -> None:
    """Start `slipway up` in a session of its own and return when it is ready.

    Raises:
        ServiceError: it ended before; with its output.
    """
    from slipway.local import running_stack
    from slipway.settings import settings

    var = settings().var.resolve()
    log = Path(var / "logs" / "up.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "slipway.cli", "up", *_options(beside), *names],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while not ((stack := running_stack(var)) and stack.pid == child.pid and stack.ready):
            if child.poll() is not None:
                raise ServiceError(f"`slipway up` ended. Its output ({log}):\n{log.read_text().strip()}")
            time.sleep(0.3)
    except BaseException:
        child.terminate()
        child.wait()
        raise
    typer.echo(log.read_text().strip())


def _options(beside: list[Server]) -> list[str]:
    return [word for server in beside for word in ("--with", str(server))]
