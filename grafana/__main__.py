"""Command `python -m grafana`: write the dashboards, for the addresses of a deployment, into a folder."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import fleet, links, model, pipelines, prediction_log, resources
from grafana.addresses import Addresses
from slipway.config.use_case import NAME

FOLDER = Path(__file__).resolve().parent / "dashboards"
DASHBOARDS = (fleet, model, pipelines, prediction_log, resources)


def texts(addresses: Addresses, usecases: Iterable[str] = ()) -> dict[str, str]:
    """Return the text of every dashboard by the name of its file, which is its uid.

    Each of `usecases` has a dashboard of its own besides.
    """
    every = [module.dashboard(addresses) for module in DASHBOARDS]
    every += [model.dashboard(addresses, own=usecase) for usecase in usecases]
    built = [_numbered(one.build()) for one in every]
    return {f"{found.uid}.json": json.dumps(found, cls=JSONEncoder, indent=2) + "\n" for found in built}


def usecases_in(folder: Path) -> set[str]:
    """Return the use cases that have a dashboard of their own in a folder."""
    documents = [json.loads(path.read_text()) for path in folder.glob(f"{links.MODEL}-*.json")]
    variables = [variable for document in documents for variable in document["templating"]["list"]]
    return {one["query"] for one in variables if (one["name"], one["type"]) == ("usecase", "constant")}


def _numbered(dashboard: Dashboard) -> Dashboard:
    """Give each panel the id by which links and Grafana's own state name it."""
    for panel in dashboard.panels or []:
        panel.id_val = links.panel_id(panel.type_val, str(panel.title))
    return dashboard


def _without_slash(address: str) -> str:
    return address.rstrip("/")


def _usecase(name: str) -> str:
    if not re.fullmatch(NAME, name):
        raise argparse.ArgumentTypeError(f"{name!r} is no name of a use case: it is that of its folder in usecases/")
    return name


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m grafana", description="Write the dashboards.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    parser.add_argument(
        "--usecase",
        type=_usecase,
        action="append",
        default=[],
        help="use case that gets a dashboard of its own, which is written anew from then on; may be repeated",
    )
    for name, default in asdict(Addresses()).items():
        parser.add_argument(
            f"--{name}", default=default, type=_without_slash, help=f"base address of links (default {default})"
        )
    given = vars(parser.parse_args(arguments))
    folder, usecases = given.pop("out"), given.pop("usecase")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts(Addresses(**given), usecases_in(folder).union(usecases)).items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
