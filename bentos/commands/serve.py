"""`slipway serve`: use cases over HTTP, by the version that the registry names or by one that is given."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.console import say

if TYPE_CHECKING:
    from slipway.settings import Settings


class Device(StrEnum):
    auto, cpu, gpu = "auto", "cpu", "gpu"


Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME...", help="The use cases; none: those in SLIPWAY_SERVE.")
]
Version = Annotated[str | None, typer.Option("--version", metavar="N", help="Serve just this version of NAME.")]
Bundle = Annotated[Path | None, typer.Option("--bundle", metavar="DIR", help="Serve just this bundle: no registry.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Start a follower, too, which moves versions in.")]
Host = Annotated[str | None, typer.Option(help="Address to bind to.  [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port to bind to.  [default: 3000]")]
Workers = Annotated[int | None, typer.Option(min=0, help="Worker processes; 0: one per core.  [default: 0]")]
DeviceOption = Annotated[Device | None, typer.Option("--device", help="Where the models run.  [default: auto]")]


def command(
    names: Names = None,
    version: Version = None,
    bundle: Bundle = None,
    follow: Follow = True,
    host: Host = None,
    port: Port = None,
    workers: Workers = None,
    device: DeviceOption = None,
) -> None:
    """Serve use cases over HTTP, with a page to try them.

    Each is answered by its champion, and by the next one as soon as the alias moves. Ctrl-C ends it.
    """
    from bentos import auth
    from bentos.launcher import launcher
    from slipway.contracts.bundle import signing

    given = {"host": host, "service_port": port, "workers": workers, "device": device.value if device else None}
    found = _settings({name: value for name, value in given.items() if value is not None})
    auth.check_bind_address(found)
    signing.trusted(found.trusted_keys)
    served = list(dict.fromkeys(names or found.serve))
    directory = _fixed(served, version, bundle or found.bundle, found)
    if directory is None and not served:
        raise typer.BadParameter("name one or more use cases, as in `slipway serve digits credit_risk`.")
    launcher.refuse_taken(found, served)
    follow = follow and directory is None and found.has_registry
    if follow and not found.container:
        _expect_champions(served, found)
    say(_who_may_come(found))
    launcher.run(found, served, directory, follow=follow, say=typer.echo)


def _settings(given: dict[str, object]) -> Settings:
    from slipway.settings import settings

    return settings().model_copy(update=given)


def _fixed(served: list[str], version: str | None, bundle: Path | None, found: Settings) -> Path | None:
    """The one bundle that is served whatever the registry says, its use case put into `served`; None for champions."""
    from bentos.follower import bundle_resolver
    from slipway.contracts.bundle.manifest import verify

    if version is None and bundle is None:
        return None
    if version is not None and bundle is not None:
        raise typer.BadParameter("--version and --bundle exclude each other.")
    if version is not None:
        if len(served) != 1:
            raise typer.BadParameter(f"--version is of one use case; {len(served)} are named.")
        return bundle_resolver.resolve_version(served[0], version, found)
    usecase = verify(bundle, serving_only=True).usecase
    if served not in ([], [usecase]):
        raise typer.BadParameter(f"the bundle is of {usecase}, not of {', '.join(served)}.")
    served[:] = [usecase]
    return bundle


def _expect_champions(served: Sequence[str], found: Settings) -> None:
    """Fetches each champion, so that what is missing or broken is said now, not by a server that waits for it.

    Not for a container, which is started before anybody looks, and waits: its readiness says for what.
    """
    from bentos.follower import bundle_resolver

    for name in served:
        bundle_resolver.resolve_champion(name, found)


def _who_may_come(found: Settings) -> str:
    from bentos.auth import credentials_configured, is_loopback

    if credentials_configured(found):
        return f"Serving on {found.host}, for whoever has a key or a token (docs/how-to/secure-the-service.md)."
    if is_loopback(found.host):
        return f"No credentials are configured: serving on {found.host} only, for this machine."
    return f"warning: SLIPWAY_INSECURE is set: everybody who reaches {found.host}:{found.service_port} can use it."
