"""The benchmark of docs/how-to/use-grafana.md: its day has what the queries ask for, and its figures are kept."""

from __future__ import annotations

import re

from benchmarks.dashboards import recorded_day
from benchmarks.dashboards.query_times import CHOICES, MOST_SECONDS, PAGE, filled_query
from benchmarks.dashboards.recorded_day import BLOCK, DAY, SCRAPE, USECASES
from benchmarks.pages import BEGIN, END
from grafana.interpolation import queries

ONE = f'usecase="{USECASES[0]}",instance="10.0.0.0:3000",version="1"'


def test_a_query_has_the_step_and_the_values_that_grafana_fills_in() -> None:
    query = next(query for query in queries() if query.panel == "Requests by role")
    texts = [filled_query(query, choice) for choice in CHOICES]
    assert all("[1m15s]" in text and f'usecase=~"{USECASES[0]}"' in text for text in texts)
    assert [re.findall(r'version=~"(.*?)"', text)[0] for text in texts] == ["2", "(1|2)", ".*"]


def test_the_day_has_each_series_once_with_buckets_that_contain_each_other() -> None:
    *found, end = recorded_day.block(DAY - BLOCK, 0)
    last = dict(text.splitlines()[-1].split(" ")[:2] for text in found)
    assert end == "# EOF\n"
    assert len(last) == len(found) == recorded_day.count() > 5_000
    scores = [key for key in last if key.startswith("slipway_prediction_score_bucket{") and ONE in key]
    assert [int(last[key]) for key in scores] == sorted(int(last[key]) for key in scores)
    assert len(scores) == 11
    assert next(text for text in found if text.startswith(scores[0])).count("\n") == BLOCK // SCRAPE


def test_the_page_shows_times_that_are_kept() -> None:
    rows = PAGE.read_text().split(BEGIN)[1].split(END)[0].strip().splitlines()[4:]
    slowest = [float(re.findall(r"([\d.]+) s", row)[0]) for row in rows]
    assert len(slowest) == 5 and max(slowest) <= MOST_SECONDS
