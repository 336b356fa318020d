"""`make cluster`: the trial on the cluster that KUBECONFIG names, and a table of what was checked."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict

from scenarios.harness.checks import table
from scenarios.kubernetes import images
from scenarios.kubernetes.cluster import Cluster
from scenarios.kubernetes.installation import USECASE
from scenarios.kubernetes.scenario import ClusterScenario
from slipway.cli.environment import prepare
from slipway.console import say
from slipway.errors import ServiceError, SlipwayError
from slipway.settings import settings

NAMESPACE = "slipway"


def main() -> int:
    options = _options()
    prepare()
    started = time.monotonic()
    cluster = Cluster(NAMESPACE)
    trial = ClusterScenario(cluster, say)
    try:
        _refuse_installed(cluster)
        made = images.build(USECASE, options.base, say)
        broken = images.broken(made.serving)
        if options.load:
            images.load([*made.all(), broken], options.load)
        trial.run(made, broken)
    except SlipwayError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    finally:
        _show(trial, time.monotonic() - started)
    return 0 if all(check.held for check in trial.checks) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("--base", default="", help="base image; default: the Dockerfiles' own")
    parser.add_argument("--load", default="", help="command that hands an image to the cluster's nodes")
    return parser.parse_args()


def _refuse_installed(cluster: Cluster) -> None:
    """A trial begins with nothing, and must not disturb what somebody uses."""
    if cluster.has_namespace():
        raise ServiceError(
            f"the cluster has a namespace {NAMESPACE} already, and the trial begins with none. Where nobody needs "
            f"it: kubectl delete namespace {NAMESPACE}"
        )


def _show(trial: ClusterScenario, seconds: float) -> None:
    if not trial.checks:
        return
    held = sum(check.held for check in trial.checks)
    lines = [
        "",
        "What was checked:",
        *table(trial.checks),
        "",
        f"{held} of {len(trial.checks)} held in {seconds:.0f} s",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    folder = settings().var / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checks.json").write_text(json.dumps([asdict(check) for check in trial.checks], indent=2))


if __name__ == "__main__":
    raise SystemExit(main())
