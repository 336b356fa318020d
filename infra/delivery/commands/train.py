"""`train`: trains a use case where its code is, and reports its gates and its model card."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.console import say

if TYPE_CHECKING:
    from pipelines.artifacts import GatedReport
    from slipway.clients.mlflow.registry import Registry

TRAINING_SECONDS = 6 * 3600.0


def command(
    usecase: Annotated[str, typer.Argument(metavar="USECASE", help="The use case: a folder in usecases/.")],
    comment: Annotated[
        Path | None, typer.Option("--comment", metavar="FILE", help="Write gates and model card to this file, too.")
    ] = None,
) -> None:
    """Train a use case, and add its gates and its model card to the job's summary.

    It trains on the Prefect work pool, if PREFECT_API_URL names a server with a pool that runs the code of this commit;
    otherwise here, like `slipway train`. Exits with 1, and the gate's sentence, where a gate fails.
    """
    from infra.delivery.github import add_summary
    from infra.delivery.training import report
    from slipway.clients.mlflow.registry import Registry
    from slipway.errors import GateRefused
    from slipway.settings import settings

    with _servers():
        registry = Registry(settings().registry_uri)
        version = _train(registry, usecase)
        result, card = _result(registry, usecase, version)
    text = report.markdown(usecase, version, result, card)
    add_summary(text)
    if comment:
        comment.write_text(text, encoding="utf-8")
    if refused := report.refusal(usecase, version, result):
        raise GateRefused(refused)
    typer.echo(f"{usecase} version {version} passed its gates and is the challenger")


def _servers() -> AbstractContextManager[Any]:
    """Provide the servers that no variable names; one that is named must answer itself."""
    from slipway.local import services
    from slipway.settings import settings

    named = {"mlflow": settings().mlflow_tracking_uri, "prefect": settings().prefect_api_url}
    missing = [name for name, uri in named.items() if not uri]
    return services(*missing, say=say) if missing else nullcontext()


def _train(registry: Registry, usecase: str) -> str:
    """Train in the pool or here, and return the version's number."""
    from infra.delivery.program import slipway
    from infra.delivery.training.work_pool import FLOW, choose, train_in_pool
    from pipelines.runs.fingerprint import code_digest
    from slipway.clients.prefect import PrefectClient
    from slipway.config import load
    from slipway.settings import settings

    code = code_digest(load(usecase))
    prefect = PrefectClient(settings().prefect_uri)
    choice = choose(prefect.deployment(FLOW, usecase), code)
    say(f"{usecase} is trained {'in the pool' if choice.in_pool else 'here'}: {choice.reason}")
    if choice.in_pool:
        return train_in_pool(prefect, registry, usecase, say)
    return slipway("train", usecase, seconds=TRAINING_SECONDS)["version"]


def _result(registry: Registry, usecase: str, version: str) -> tuple[GatedReport, str]:
    """Fetch what the version's bundle says of it, by its digest."""
    import tempfile

    from pipelines.artifacts import GatedReport
    from slipway.contracts.bundle.manifest import CARD, METRICS

    with tempfile.TemporaryDirectory(prefix="slipway-delivery-") as scratch:
        folder = Path(scratch)
        registry.fetch_files(registry.version(usecase, version), folder, (METRICS, CARD))
        return GatedReport.read(folder), (folder / CARD).read_text(encoding="utf-8")
