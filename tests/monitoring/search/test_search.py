"""Searches on the prediction log and on a real Elasticsearch: the same questions, the same results."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring.commands.find import parse_around, parse_moment
from monitoring.search import parquet_source
from monitoring.search.caller_errors import caller_errors
from monitoring.search.change_comparison import compare_around
from monitoring.search.event_fields import value
from monitoring.search.event_source import EventSource
from monitoring.search.parquet_source import ParquetSource
from monitoring.search.prediction import find_predictions
from monitoring.search.rendering import render
from monitoring.search.slice_errors import WRONG, worst_slices
from monitoring.search.source_choice import ask
from slipway import audit
from slipway.errors import NotFound, ServiceError, SettingsError
from slipway.ids import uuid7
from slipway.settings import Settings, settings
from tests.conftest import NOWHERE
from tests.support.prediction_log import search_story
from tests.support.prediction_log.search_story import FAILING, ROWS, SOUND, USECASE, Story

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
ONE_SIDED = ("log_lines", "problems", "refused")  # log lines are in Elasticsearch only
Sources = tuple[EventSource, EventSource]


@pytest.fixture
def config(var) -> Settings:
    return settings()


@pytest.fixture
def story(config: Settings) -> Story:
    found = search_story.tell(config.environment)
    search_story.write(found, config)
    return found


@pytest.fixture(scope="module")
def stored(elasticsearch: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, Settings]:
    """Provide the story in both sources, and the settings of these."""
    environment = f"test-{uuid7()[-8:]}"
    config = Settings(var=tmp_path_factory.mktemp("var"), ELASTICSEARCH_URL=elasticsearch, ENVIRONMENT=environment)
    found = search_story.tell(environment)
    search_story.write(found, config)
    search_story.index(found, config)
    return found, config


@pytest.fixture
def both(var: Path, stored: tuple[Story, Settings]) -> tuple[Story, Settings, Sources]:
    from monitoring.search.elasticsearch_source import ElasticsearchSource

    story, config = stored
    return story, config, (ParquetSource(config), ElasticsearchSource(config))


def rounded(result: Any) -> Any:
    """Round what the sources add up in another order."""
    if isinstance(result, float):
        return round(result, 6)
    if isinstance(result, dict):
        return {name: rounded(each) for name, each in result.items() if name not in ONE_SIDED}
    return [rounded(each) for each in result] if isinstance(result, (list, tuple)) else result


def since_start(story: Story) -> datetime:
    return story.at - timedelta(hours=3)


@pytest.mark.parametrize("name", ["id", "trace", "request", "key"])
def test_a_prediction_is_found_by_its_id_trace_request_and_key(name: str, story: Story, config: Settings) -> None:
    found = find_predictions(ParquetSource(config), getattr(story, name), config, since_start(story))
    [prediction] = found.predictions
    assert (prediction.usecase, prediction.id) == (USECASE, story.id)
    [event] = prediction.events
    assert event["features"] == {"purpose": "new car", "housing": "own", "amount": 1000}
    assert event["warnings"] == [{"feature": "amount", "reason": "out of range"}]
    assert (event["version"], event["label"], event["caller"]) == ("1", "good", FAILING)
    assert prediction.label and prediction.label["label"] == "good"
    assert prediction.problems[0].startswith("The version's data and gates are not known")


def test_several_predictions_of_a_text_are_listed_the_newest_first(story: Story, config: Settings) -> None:
    again = search_story.tell(config.environment)
    search_story.write(again, config)
    found = find_predictions(ParquetSource(config), "loan-7", config, since_start(story), USECASE)
    assert [each.events[0]["key"] for each in found.predictions] == ["loan-7", "loan-7"]
    assert found.predictions[0].events[0]["at"] >= found.predictions[1].events[0]["at"]
    assert "2 predictions have 'loan-7'" in render(found)[0]


def test_a_text_that_nothing_has_is_named_with_what_to_do(story: Story, config: Settings) -> None:
    with pytest.raises(NotFound, match=r"no prediction in local since .* 'nothing'.*--since 90d"):
        find_predictions(ParquetSource(config), "nothing", config, since_start(story))


def test_what_changed_at_a_time_is_the_version_the_purpose_and_the_failures(story: Story, config: Settings) -> None:
    audit.append(USECASE, "promoted", who="ann@laptop", why="better", version="2", config=config)
    found = compare_around(ParquetSource(config), USECASE, story.at, timedelta(hours=3), config)
    shifted = {(shift.field, shift.value) for shift in found.shifts}
    assert {
        ("slipway.model_version", "2"),
        ("slipway.features.purpose", "new car"),
        ("error.type", "ModelFailed"),
    } <= shifted
    assert not any(field == "slipway.features.housing" for field, _ in shifted)
    assert (found.before.failed, found.after.failed) == (0, ROWS // 6)
    assert [action["action"] for action in found.actions] == ["promoted"]
    assert any("purpose" in line for line in render(found))


def test_the_callers_who_get_errors_come_with_the_types(story: Story, config: Settings) -> None:
    found = caller_errors(ParquetSource(config), USECASE, since_start(story))
    [failing] = found.callers
    assert (failing.value, failing.failed, failing.errors) == (FAILING, ROWS // 6, {"ModelFailed": ROWS // 6})
    assert found.unknown.rows == 0
    assert SOUND not in "\n".join(render(found))


def test_groups_that_are_left_out_are_the_smallest_or_those_with_fewest_failures(
    story: Story, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_source, "_GROUPS", parquet_source._GROUPS.replace("LIMIT 100", "LIMIT 1"))
    source, window = ParquetSource(config), (since_start(story), story.at + timedelta(hours=3))
    assert [each.value for each in source.groups(USECASE, window, "slipway.caller")] == [SOUND]
    assert [each.value for each in source.groups(USECASE, window, "slipway.caller", by_failures=True)] == [FAILING]


def test_the_worst_slice_is_the_one_whose_labels_are_wrong(story: Story, config: Settings) -> None:
    found = worst_slices(ParquetSource(config), USECASE, since_start(story))
    assert (found.measure, found.labelled) == (WRONG, ROWS - ROWS // 6)
    assert (found.slices[0].feature, found.slices[0].value, found.slices[0].error) == ("housing", "for free", 1.0)
    assert "housing is for free" in "\n".join(render(found))


def test_slices_without_labels_say_how_labels_are_sent(config: Settings) -> None:
    found = worst_slices(ParquetSource(config), USECASE, LONG_AGO)
    assert found.error is None
    assert "slipway feedback credit_risk FILE" in found.problems[0]


def test_both_sources_give_the_same_results(both: tuple[Story, Settings, Sources]) -> None:
    story, config, sources = both
    since, texts = since_start(story), (story.id, story.trace, story.key)
    questions: list[Callable[[EventSource], Any]] = [
        *(lambda source, text=text: find_predictions(source, text, config, since) for text in texts),
        lambda source: compare_around(source, USECASE, story.at, timedelta(hours=1), config),
        lambda source: caller_errors(source, USECASE, since),
        lambda source: worst_slices(source, USECASE, since),
    ]
    for question in questions:
        of_log, of_elasticsearch = (rounded(question(source).to_dict()) for source in sources)
        assert of_log == of_elasticsearch


def test_log_lines_of_a_prediction_are_those_with_its_trace(both: tuple[Story, Settings, Sources]) -> None:
    story, config, (_, source) = both
    [prediction] = find_predictions(source, story.id, config, since_start(story)).predictions
    assert [line["message"] for line in prediction.log_lines] == ["a line of level info"]


def test_refused_requests_are_counted_by_caller_and_status(both: tuple[Story, Settings, Sources]) -> None:
    story, _, (of_log, of_elasticsearch) = both
    found = caller_errors(of_elasticsearch, USECASE, since_start(story))
    assert [(group.value, group.errors) for group in found.refused or []] == [(SOUND, {"422": ROWS // 30})]
    assert f"422: {ROWS // 30}" in "\n".join(render(found))
    assert "not searched" in "\n".join(render(caller_errors(of_log, USECASE, since_start(story))))


def test_the_log_is_read_while_elasticsearch_does_not_respond(
    story: Story, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", NOWHERE)
    settings.cache_clear()
    since = since_start(story)
    result, name, notes = ask(lambda source: caller_errors(source, USECASE, since), settings())
    assert result.failed == ROWS // 6
    assert name.startswith("the prediction log under")
    assert notes[0].endswith("The prediction log was read instead.")
    with pytest.raises(ServiceError):
        ask(lambda source: caller_errors(source, USECASE, since), settings(), "elasticsearch")


def test_elasticsearch_cannot_be_chosen_where_none_is_configured(config: Settings) -> None:
    with pytest.raises(SettingsError, match="ELASTICSEARCH_URL is not set"):
        ask(lambda source: source.name, config, "elasticsearch")


def test_the_command_prints_one_prediction_and_its_json(story: Story, cli) -> None:
    shown = cli("find", story.id)
    assert shown.code == 0, shown.err
    assert f"Prediction {story.id} of credit_risk" in shown.out
    assert "new car" in shown.out
    found = json.loads(cli("find", story.key, "--json").out)
    assert found["predictions"][0]["id"] == story.id


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "give a TEXT"),
        (("x", "--errors"), "give a TEXT"),
        (("--errors",), "add --usecase NAME"),
        (("x", "--from", "here"), "give one of auto, elasticsearch, parquet"),
        (("--at", "noon", "--usecase", USECASE), "give a time of day like 14:00"),
        (("--at", "14:00", "--around", "soon", "--usecase", USECASE), "like 30m or 2h"),
    ],
)
def test_options_that_do_not_fit_are_explained(options: tuple[str, ...], reason: str, cli) -> None:
    ran = cli("find", *options)
    assert ran.code == 2
    assert reason in " ".join(ran.err.split())


def test_a_time_of_day_is_the_latest_one() -> None:
    now = datetime(2026, 3, 1, 15, tzinfo=UTC)
    assert parse_moment("14:00", now) == datetime(2026, 3, 1, 14, tzinfo=UTC)
    assert parse_moment("16:30", now) == datetime(2026, 2, 28, 16, 30, tzinfo=UTC)
    assert parse_moment("2026-01-31T12:00Z", now) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert parse_around("90m") == timedelta(minutes=90)


def test_a_field_is_read_from_objects_and_from_dotted_keys() -> None:
    assert value({"log.level": "info"}, "log.level") == "info"
    assert value({"log": {"origin.file": {"line": 7}}}, "log.origin.file.line") == 7
    assert value({"log": "text"}, "log.level") is None
