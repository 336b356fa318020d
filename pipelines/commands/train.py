"""Command `slipway train`: runs the pipeline of a use case, from its data to a registered version."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.options import Json, Set, UseCaseName, overrides, print_json
from slipway.console import say

if TYPE_CHECKING:
    from slipway.config import UseCase

LEAST_MEMORY = 1.5e9  # bytes: one process with TensorFlow, and the servers of MLflow and Prefect


def command(
    name: UseCaseName,
    set: Set = None,
    no_register: Annotated[
        bool, typer.Option("--no-register", help="The quick loop: nothing is compared, recorded or registered.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever has been done before.")] = False,
    as_json: Json = False,
) -> None:
    """Train, evaluate and register a use case; the same command resumes a run that was killed.

    A run that passes its gates becomes `challenger`; `slipway promote` makes it `champion`.
    """
    from slipway.config import load

    changes = overrides(set)
    usecase = load(name, changes)
    _warn_of_little_memory()
    result = (
        _train_without_servers(usecase, changes, fresh) if no_register else _train_in_prefect(usecase, changes, fresh)
    )
    if as_json:
        print_json(result)
    else:
        typer.echo(_summary(result))


def _warn_of_little_memory() -> None:
    """Warn before the kernel kills the process, which can then say nothing."""
    from slipway.system.memory import available_bytes

    available = available_bytes()
    if available is not None and available < LEAST_MEMORY:
        say(
            f"warning: {available / 1e9:.1f} GB of memory is available here, and a training with its servers takes "
            f"{LEAST_MEMORY / 1e9:.1f} GB or more: if it ends with `Killed`, raise the limit of the container, end "
            "other programs, or train with --no-register, which needs no servers."
        )


def _train_without_servers(usecase: UseCase, changes: dict[str, str], fresh: bool) -> dict[str, Any]:
    """Run the steps as plain functions, without any server."""
    from dataclasses import asdict

    from pipelines.runs.run import open_run
    from pipelines.training import training

    with open_run(usecase, changes, register=False, fresh=fresh) as run:
        return asdict(training(usecase, run, run.step))


def _train_in_prefect(usecase: UseCase, changes: dict[str, str], fresh: bool) -> dict[str, Any]:
    """Run the Prefect flow in this process; servers that do not respond are started for its duration."""
    from slipway.local import services

    _require_named_servers()
    with services("mlflow", "prefect", say=say):
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # its server still gets every line
        from pipelines.flows import heartbeats, prefect_logs_flushed, train

        with heartbeats(), prefect_logs_flushed():
            return train(usecase.name, changes, fresh=fresh)


def _require_named_servers() -> None:
    """Require servers that settings name to answer: a version registered in a server started here would be lost."""
    from slipway.clients.http import is_healthy, without_login
    from slipway.errors import ServiceError
    from slipway.settings import settings

    found = settings()
    named = {"MLFLOW_TRACKING_URI": found.mlflow_tracking_uri, "PREFECT_API_URL": found.prefect_api_url}
    for variable, uri in named.items():
        if uri and not is_healthy(f"{uri.rstrip('/')}/health"):
            raise ServiceError(
                f"{variable} names {without_login(uri)}, and nothing answers there. Start it; or unset the variable, "
                "and servers are started here; or train with --no-register, which needs none."
            )


def _summary(result: dict[str, Any]) -> str:
    lines = [f"device   {result['device']}", *_listed("scores", _scores(result["scores"]))]
    lines += [*_listed("meaning", result["meaning"]), *_listed("gates", [_gates(result), *result["reasons"]])]
    if result["synthetic"]:
        lines.append("data     synthetic: made by the use case's generator, since its file is not there")
    name, version = result["usecase"], result["version"]
    if version is None:
        lines.append(f"version  none (--no-register); everything is in {result['folder']}")
    else:
        already = ", which this run had registered before (--fresh begins anew)" if result["already"] else ""
        lines.append(f"version  {name} {version}{already}")
        if result["gate"] == "passed":
            lines.append(f"next     slipway promote {name} {version}")
        else:
            lines.append("next     no server accepts this version: mend what the gates say, and train again")
    return "\n".join(lines)


def _listed(title: str, lines: list[str]) -> list[str]:
    """Write the title before the first line, and blanks before the others."""
    return [f"{title if number == 0 else '':8} {line}" for number, line in enumerate(lines)]


def _scores(scores: dict[str, Any]) -> list[str]:
    """Format scores as `roc_auc 0.781 (0.705 to 0.850)`."""
    from pipelines.artifacts import Score
    from pipelines.packaging.score_words import format_score

    return [f"{name} {format_score(Score(**score))}" for name, score in scores.items()]


def _gates(result: dict[str, Any]) -> str:
    if result["declared"] or result["gate"] != "passed":
        return result["gate"]
    return "passed; gates.absolute declares no bound, so it had to be better than a model without features"
