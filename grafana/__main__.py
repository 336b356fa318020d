"""Command `python -m grafana`: write the dashboards, for the addresses of a deployment, into a folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import fleet, model, pipelines, prediction_log, resources
from grafana.addresses import Addresses

FOLDER = Path(__file__).resolve().parent / "dashboards"
DASHBOARDS = (fleet, model, pipelines, prediction_log, resources)


def texts(addresses: Addresses) -> dict[str, str]:
    """Return the text of every dashboard by the name of its file, which is its uid."""
    built = [_numbered(module.dashboard(addresses).build()) for module in DASHBOARDS]
    return {f"{found.uid}.json": json.dumps(found, cls=JSONEncoder, indent=2) + "\n" for found in built}


def _numbered(dashboard: Dashboard) -> Dashboard:
    """Give each panel the id by which links and Grafana's own state name it."""
    for number, panel in enumerate(dashboard.panels or [], start=1):
        panel.id_val = number
    return dashboard


def _without_slash(address: str) -> str:
    return address.rstrip("/")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m grafana", description="Write the dashboards.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    for name, default in asdict(Addresses()).items():
        parser.add_argument(
            f"--{name}", default=default, type=_without_slash, help=f"base address of links (default {default})"
        )
    given = vars(parser.parse_args(arguments))
    folder = given.pop("out")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts(Addresses(**given)).items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
