"""Command `python -m scenarios.kubernetes`, behind `make cluster`: run the cluster scenario and print its checks."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.harness.checks import table
from slipway.cli import run_program
from slipway.console import say

if TYPE_CHECKING:
    from scenarios.kubernetes.cluster import Cluster
    from scenarios.kubernetes.scenario import ClusterScenario

NAMESPACE = "slipway"


def command(
    base: Annotated[str, typer.Option(help="Base image; the Dockerfiles' own where left out.")] = "",
    load: Annotated[
        str, typer.Option(metavar="COMMAND", help="Command that hands an image to the cluster's nodes.")
    ] = "",
) -> None:
    """Install Slipway on the cluster that KUBECONFIG names, disturb it under load, and check every part.

    Exits with 0 only if every check held. What it installs stays, to be looked at.
    """
    from scenarios.kubernetes import images
    from scenarios.kubernetes.cluster import Cluster
    from scenarios.kubernetes.installation import USECASE
    from scenarios.kubernetes.scenario import ClusterScenario

    started = time.monotonic()
    cluster = Cluster(NAMESPACE)
    scenario = ClusterScenario(cluster, say)
    try:
        _refuse_installed(cluster)
        built = images.build(USECASE, base, say)
        broken = images.broken(built.serving)
        if load:
            images.load([*built.all(), broken], load)
        scenario.run(built, broken)
    finally:
        _report(scenario, time.monotonic() - started)
    if not all(check.held for check in scenario.checks):
        raise typer.Exit(1)


def _refuse_installed(cluster: Cluster) -> None:
    """Refuse a cluster that has the namespace already: somebody may use it.

    Raises:
        ServiceError: the namespace exists.
    """
    from slipway.errors import ServiceError

    if cluster.has_namespace():
        raise ServiceError(
            f"the cluster has a namespace {NAMESPACE} already, and the scenario installs into a new one. If nobody "
            f"needs it: kubectl delete namespace {NAMESPACE}"
        )


def _report(scenario: ClusterScenario, seconds: float) -> None:
    """Print the table of the checks, and write them to `var/cluster/checks.json`."""
    from slipway.settings import settings

    if not scenario.checks:
        return
    held = sum(check.held for check in scenario.checks)
    total = f"{held} of {len(scenario.checks)} held in {seconds:.0f} s"
    typer.echo("\n".join(["", "What was checked:", *table(scenario.checks), "", total]))
    folder = settings().var / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checks.json").write_text(json.dumps([asdict(check) for check in scenario.checks], indent=2))


if __name__ == "__main__":
    run_program(command, "python -m scenarios.kubernetes")
