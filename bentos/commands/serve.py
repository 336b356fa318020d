"""`slipway serve`: serves use cases over HTTP, by the registry's champions or by a given version or bundle."""

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
Version = Annotated[str | None, typer.Option("--version", metavar="N", help="Serve only this version of NAME.")]
Bundle = Annotated[
    Path | None, typer.Option("--bundle", metavar="DIR", help="Serve only this bundle, with no registry.")
]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Also start a follower, which brings new versions.")]
Host = Annotated[str | None, typer.Option(help="Address to bind to.  [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port to bind to.  [default: 3000]")]
Workers = Annotated[int | None, typer.Option(min=0, help="Worker processes; 0: one per core.  [default: 0]")]
DeviceOption = Annotated[Device | None, typer.Option("--device", help="Device to run the models on.  [default: auto]")]


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

    Each use case is served by its champion, and by the next one as soon as the alias moves. Ctrl-C ends it.
    """
    from bentos import auth
    from bentos.launcher import launcher
    from slipway.contracts.bundle import signing

    given = {"host": host, "service_port": port, "workers": workers, "device": device.value if device else None}
    config = _settings({name: value for name, value in given.items() if value is not None})
    auth.check_bind_address(config)
    signing.trusted(config.trusted_keys)
    served = list(dict.fromkeys(names or config.serve))
    served, directory = _fixed_bundle(served, version, bundle or config.bundle, config)
    if directory is None and not served:
        raise typer.BadParameter("name one or more use cases, as in `slipway serve digits credit_risk`.")
    launcher.require_free_port(config, served)
    follow = follow and directory is None and config.has_registry
    if follow and not config.container:
        served = _fetch_champions(served, config)
    say(_access_notice(config))
    launcher.run(config, served, directory, follow=follow, say=typer.echo)


def _settings(given: dict[str, object]) -> Settings:
    from slipway.settings import settings

    return settings().model_copy(update=given)


def _fixed_bundle(
    served: list[str], version: str | None, bundle: Path | None, config: Settings
) -> tuple[list[str], Path | None]:
    """Return the use cases, and the directory of the given version or bundle; None where champions are served."""
    from bentos.follower import bundle_resolver
    from slipway.contracts.bundle.manifest import verify

    if version is None and bundle is None:
        return served, None
    if version is not None and bundle is not None:
        raise typer.BadParameter("--version and --bundle exclude each other.")
    if version is not None:
        if len(served) != 1:
            raise typer.BadParameter(f"--version is of one use case; {len(served)} are named.")
        return served, bundle_resolver.resolve_version(served[0], version, config)
    usecase = verify(bundle, serving_only=True).usecase
    if served not in ([], [usecase]):
        raise typer.BadParameter(f"the bundle is of {usecase}, not of {', '.join(served)}.")
    return [usecase], bundle


def _fetch_champions(served: Sequence[str], config: Settings) -> list[str]:
    """Fetch each champion, so that a missing or broken one is an error of the command, not of a waiting server.

    A container does not: it waits for its champion, and its readiness probe reports that. Where further use cases may
    be added, a broken one keeps no other from being served: it is added, and served when it has a good version.
    """
    from bentos.follower import bundle_resolver
    from slipway.errors import SlipwayError
    from slipway.serving_state import additions

    fetched, problems = [], {}
    for name in served:
        try:
            bundle_resolver.resolve_champion(name, config)
            fetched.append(name)
        except SlipwayError as error:
            problems[name] = error
    if problems and (config.serve_file is None or not fetched):
        raise next(iter(problems.values()))
    if problems and config.serve_file:
        say("\n".join(f"{name} is not served: {error}" for name, error in problems.items()))
        additions.write(config.serve_file, [*additions.read(config.serve_file), *problems])
    return fetched


def _access_notice(config: Settings) -> str:
    """Describe who can use the service."""
    from slipway import api_keys
    from slipway.clients.http import is_loopback
    from slipway.credentials import credentials_required

    if credentials_required(config):
        if not config.jwt_jwks and not api_keys.read(config.key_file):
            return (
                f"warning: {config.key_file} holds no key: until `slipway keys create NAME`, every request is refused."
            )
        return f"Serving on {config.host}, for clients with a key or a token (docs/how-to/secure-the-service.md)."
    if is_loopback(config.host):
        return f"No credentials are configured: serving on {config.host} only, for this machine."
    return f"warning: SLIPWAY_INSECURE is set: everybody who reaches {config.host}:{config.service_port} can use it."
