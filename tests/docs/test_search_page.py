"""The page on searching: its commands run, in their order, on a real Elasticsearch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.settings import Settings, settings
from tests.support.doubles.kibana_double import KibanaDouble
from tests.support.prediction_log import search_story
from tests.support.prediction_log.search_story import Story

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "search-predictions.md"
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KIBANA = "http://127.0.0.1:5601"
MOST_LINES = 10


def blocks() -> list[list[list[str]]]:
    """Split the lines of each block into words."""
    found = [block.splitlines() for block in BLOCK.findall(PAGE.read_text())]
    return [[shlex.split(line, comments=True) for line in lines] for lines in found]


@pytest.fixture
def story(elk: Settings, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Story:
    """Provide a log as the demo leaves it: in Parquet, before there was an Elasticsearch."""
    found = search_story.tell(elk.environment)
    search_story.write(found, elk)
    with monkeypatch.context() as patch:
        patch.delenv("ELASTICSEARCH_URL")
        settings.cache_clear()
        assert cli("ship", "--once").code == 0
    settings.cache_clear()
    return found


@pytest.fixture
def kibana() -> Iterator[KibanaDouble]:
    with KibanaDouble() as server:
        yield server


def test_ten_lines_lead_from_nothing_to_a_response() -> None:
    first = blocks()[0]
    assert len(first) <= MOST_LINES
    assert first[0] == ["make", "demo"] and first[-1][:2] == ["slipway", "find"]


def test_every_command_of_the_page_runs(story: Story, kibana: KibanaDouble, cli: Callable[..., Any]) -> None:
    outputs = {}
    for program, *words in (line for block in blocks() for line in block):
        if program == "slipway":
            ran = cli(*(kibana.uri if word == KIBANA else word for word in words))
            assert ran.code == 0, f"slipway {shlex.join(words)}: {ran.err}"
            outputs[shlex.join(words)] = ran.out
    number = len(story.predictions) + len(story.feedback)
    assert f"{number} events are in Elasticsearch" in outputs["ship --replay 30d"]
    assert "Source: Elasticsearch at" in outputs["find loan-17"]
    prediction, *_ = outputs["find loan-17"].splitlines()
    assert prediction == outputs["find loan-17 --from parquet"].splitlines()[0]
    assert prediction.endswith(f"of {search_story.USECASE}")
    assert kibana.spaces["default"]


def test_programs_of_the_page_are_those_that_the_tests_run() -> None:
    assert {line[0] for block in blocks() for line in block} == {"make", "export", "slipway"}
