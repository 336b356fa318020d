"""Command `python -m elk.kibana`: write `objects.ndjson`, which `slipway elk setup --kibana URL` imports."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from elk.kibana.saved_objects import ndjson, saved_objects
from slipway import config

FILE = Path(__file__).resolve().parent / "objects.ndjson"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m elk.kibana", description="Write Kibana's saved objects.")
    parser.add_argument("--out", type=Path, default=FILE, help="file to write")
    parser.add_argument(
        "--usecase", action="append", help="use case with a dashboard of its own; may be repeated (default: all)"
    )
    given = parser.parse_args(arguments)
    given.out.write_text(ndjson(saved_objects(given.usecase or config.names())))


if __name__ == "__main__":
    main()
