"""`deploy`: deploys a release to an environment, tests it, and takes it back if it fails."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.delivery.commands.options import ReleaseFile, TrustedIdentity, TrustedKey
from slipway.console import say

if TYPE_CHECKING:
    from infra.delivery.deployment.environment import Environment
    from infra.delivery.release import Release

LOCK_SECONDS = 1800.0  # longer than a rollout that fails late and is taken back


def command(
    environment: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="staging, production, or your own.")],
    release: ReleaseFile,
    key: TrustedKey = None,
    identity: TrustedIdentity = None,
    overlay: Annotated[
        Path | None, typer.Option("--overlay", metavar="DIR", help="Its overlay; else infra/kubernetes/overlays/….")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", metavar="NAME", help="Another namespace than the overlay's, for all.")
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Also apply what is of the whole cluster: a first installation.")
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for another deployment to end.")
    ] = 2400.0,
) -> None:
    """Deploy a release to the cluster of KUBECONFIG, by digests, after its signatures are verified.

    It waits for a deployment that runs, applies the overlay, waits for every pod, and runs the smoke test as a Job.
    Where that fails, it puts the images before back, and exits with 1.
    """
    from infra.delivery.deployment import lock, record
    from infra.delivery.deployment.rollout import RolloutFailed, roll_out
    from infra.delivery.github import add_summary, lock_holder, run_name
    from infra.delivery.release import read_release
    from infra.delivery.signatures import cosign
    from infra.delivery.signatures.policy import trust

    found = read_release(release)
    cosign.verify(found, trust(key, identity), say)
    target = _environment(environment, overlay, namespace, install)
    wanted = target.images(found)
    target.require_ready()
    with lock.held(target.cluster, lock_holder(), LOCK_SECONDS, wait, say):
        before = record.images_before(target.cluster)
        try:
            roll_out(target, wanted, before, say)
        except RolloutFailed as error:
            add_summary(f"## {environment} does not run {found.commit[:12]}\n\n{error}")
            raise
        record.write(target.cluster, wanted, found.commit, run_name())
    _report(environment, found, wanted, before)


def _environment(name: str, overlay: Path | None, namespace: str | None, install: bool) -> Environment:
    from infra.delivery.deployment import kustomize
    from infra.delivery.deployment.environment import Environment
    from slipway.errors import SettingsError, suggestion
    from slipway.settings import settings

    folder = overlay.resolve() if overlay else kustomize.OVERLAYS / name
    if not (folder / "kustomization.yaml").is_file():
        known = sorted(path.name for path in kustomize.OVERLAYS.iterdir() if path.is_dir())
        raise SettingsError(
            f"the environment {name!r} has no overlay {folder}.{suggestion(name, known)} There are "
            f"{', '.join(known)}; --overlay DIR names another."
        )
    return Environment(folder, settings().var.resolve() / "delivery" / name, namespace, install)


def _report(environment: str, release: Release, wanted: dict[str, str], before: dict[str, str]) -> None:
    from infra.delivery.github import add_summary

    rows = [f"| {name} | `{wanted[name]}` | `{before.get(name, 'none')}` |" for name in sorted(wanted)]
    table = "\n".join(["| image | now | before |", "| --- | --- | --- |", *rows])
    add_summary(f"## {environment} runs {release.commit[:12]}\n\n{table}")
    typer.echo(f"{environment} runs the release of {release.commit[:12]}:")
    for name in sorted(wanted):
        typer.echo(f"  {wanted[name]}")
