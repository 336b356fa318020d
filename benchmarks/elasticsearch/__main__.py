"""Figures of the second copy of the log: `make bench` writes them into docs/explanation/search-performance.md.

They are measured on a real Elasticsearch that runs for them alone. What is measured goes into
docs/explanation/search.json, group by group; the table shows what is in there.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.elasticsearch.figure import Figure, table
from benchmarks.elasticsearch.kills import kills
from benchmarks.elasticsearch.lookup import lookup
from benchmarks.elasticsearch.memory import memory
from benchmarks.elasticsearch.new_names import new_names
from benchmarks.elasticsearch.node import INSTALLATION, find_program, started
from benchmarks.elasticsearch.outage import outage
from benchmarks.elasticsearch.server_cost import server_cost
from benchmarks.elasticsearch.throughput import throughput
from benchmarks.pages import write

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "explanation"
PAGE, RECORD = "search-performance.md", "search.json"
GROUPS: dict[str, Callable[..., Iterator[Figure]]] = {  # in the table's order
    "throughput": throughput,
    "server_cost": server_cost,
    "outage": outage,
    "kills": kills,
    "new_names": new_names,
    "lookup": lookup,
    "memory": memory,
}
QUICK: dict[str, dict[str, float]] = {
    "throughput": {"number": 2_000, "pairs": 1},
    "server_cost": {"pairs": 1, "seconds": 2.0},
    "outage": {"seconds": 5.0, "arriving": 100},
    "kills": {"number": 2_000, "killed": 3, "stopped": 1},
    "new_names": {"names": 200},
    "lookup": {"files": 1, "file_rows": 500},
    "memory": {"passes": 20, "number": 5_000},
}


def measure(program: str, name: str, **sizes: float) -> Iterator[Figure]:
    """Measure a group on a new node, and print each figure."""
    with started(program) as node:
        for figure in GROUPS[name](node, **sizes):
            sys.stdout.write(figure.row + "\n")
            sys.stdout.flush()
            yield figure


def measure_groups(program: str, names: list[str], folder: Path) -> None:
    """Measure the groups, and write what there is after each into the folder's record and page."""
    record = folder / RECORD
    groups: dict[str, list[list[object]]] = json.loads(record.read_text()) if record.exists() else {}
    for name in names:
        groups[name] = [list(figure) for figure in measure(program, name)]
        record.write_text(json.dumps(groups, indent=1, ensure_ascii=False) + "\n")
        shown = [Figure(*values) for group in GROUPS for values in groups.get(group, [])]
        write(table(shown), folder / PAGE)


def main() -> None:
    """Run the benchmark, or say what it lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = list(GROUPS)
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="some of the groups (default: all)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where {PAGE} and {RECORD} are")
    parser.add_argument("--quick", action="store_true", help="try in tiny sizes whether it runs; nothing is written")
    options = parser.parse_args()
    program = find_program()
    if program is None:
        sys.stdout.write(f"Left out: no Elasticsearch can be started. To measure it, {INSTALLATION}.\n")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the node ends, too
    if options.quick:
        for name in options.only:
            list(measure(program, name, **QUICK[name]))
        return
    measure_groups(program, options.only, options.folder)
    sys.stdout.write(f"written to {options.folder / PAGE}\n")


if __name__ == "__main__":
    main()
