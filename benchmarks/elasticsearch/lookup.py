"""Time to find one of 10,000,000 predictions by its id, in Parquet and in Elasticsearch, which is refilled from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.elasticsearch.figure import Figure
from benchmarks.elasticsearch.node import Node
from benchmarks.monitoring import generated_log
from benchmarks.monitoring.child_process import measure
from benchmarks.tables.reader import apart
from monitoring.search.prediction import find_events
from monitoring.search.source_choice import Choice, ask
from slipway.prediction_log import connect
from slipway.settings import Settings

FILES = 40  # of 250,000 predictions each
MOST_SECONDS: dict[Choice, float] = {"elasticsearch": 0.1, "parquet": 2.0}
_IDS = 20
_DAYS = timedelta(days=3)  # the log has one of them


def lookup(node: Node, files: int = FILES, file_rows: int = generated_log.FILE_ROWS) -> Iterator[Figure]:
    """Refill Elasticsearch from a generated log, and look for the same ids in both."""
    with TemporaryDirectory() as temporary:
        home, number = Path(temporary), files * file_rows
        apart(generated_log.write, home, file_rows)
        apart(generated_log.add_day, home, 1, files, file_rows)
        settings = Settings(var=home / "var", ELASTICSEARCH_URL=node.url)
        rate = _replay_rate(node, settings, home, number)
        first, *ids = _some_ids(settings, home)
        for choice, most in MOST_SECONDS.items():
            _seconds(settings, choice, first)  # it imports and connects
            seconds = [_seconds(settings, choice, id_) for id_ in ids]
            name = f"one prediction by id of {number:,}, in {choice.capitalize()}"
            measured = f"{1000 * median(seconds):,.0f} ms, at most {1000 * max(seconds):,.0f} ms"
            yield Figure(name, measured, f"≤ {1000 * most:,.0f} ms", max(seconds) <= most)
    yield Figure(f"replay of these {number:,} from Parquet", f"{rate:,.0f}/s", "", True)


def _replay_rate(node: Node, settings: Settings, home: Path, number: int) -> float:
    """Replay the whole log, and return events a second."""
    environment = node.environment(home, settings.environment)
    stream = node.set_up(environment)
    found = measure(["-m", "slipway.cli", "ship", "--replay", f"{_DAYS.days}d"], environment)
    if (documents := node.count(stream)) != number:
        raise RuntimeError(f"after the replay of {number} events there are {documents} documents")
    return number / found.seconds


def _some_ids(settings: Settings, home: Path) -> list[str]:
    files = f"read_parquet('{generated_log.log_folder(home)}/*/*.parquet')"
    with connect(settings) as connection:
        found = connection.execute(f'SELECT "slipway.row_id" FROM {files} USING SAMPLE {_IDS + 1}').fetchall()
    return [id_ for (id_,) in found]


def _seconds(settings: Settings, choice: Choice, id_: str) -> float:
    since = datetime.now(UTC) - _DAYS
    started = time.perf_counter()
    found, *_ = ask(lambda source: find_events(source, id_, None, since), settings, choice)
    seconds = time.perf_counter() - started
    if [event["id"] for event in found] != [id_]:
        raise RuntimeError(f"{choice} has {len(found)} events of {id_}")
    return seconds
