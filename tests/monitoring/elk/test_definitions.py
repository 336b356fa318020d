"""The mappings: every field of the contracts is typed, and nothing else is ever indexed."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from monitoring.elk import definitions, sources
from monitoring.elk.capabilities import Capabilities
from monitoring.elk.definitions import ROLES, mark, nested, resources
from monitoring.elk.retention import stream_days
from slipway.clients.elasticsearch.streams import DATASETS, PREDICTION
from slipway.contracts.events.feedback_event import FEEDBACK_COLUMNS
from slipway.contracts.events.prediction_event import PREDICTION_COLUMNS
from slipway.settings import settings

EVERYTHING = Capabilities("8.19.3", "basic", ingest=True, lifecycle=True, security=True)
BARE = Capabilities("8.19.3", "none", ingest=False, lifecycle=False, security=False)
REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "elasticsearch.md"
TYPES = {
    "TIMESTAMPTZ": {"date"},
    "VARCHAR": {"keyword"},
    "BIGINT": {"long"},
    "INTEGER": {"integer"},
    "BOOLEAN": {"boolean"},
    "DOUBLE": {"double"},
    "JSON": {"flattened"},
}


def fields(dataset):
    return sources.read("templates/common.yml") | sources.read(f"templates/{dataset}.yml")


@pytest.mark.parametrize(("dataset", "columns"), [("prediction", PREDICTION_COLUMNS), ("feedback", FEEDBACK_COLUMNS)])
def test_every_column_of_a_contract_has_its_type(dataset, columns):
    mapped = fields(dataset)
    warnings = {"slipway.warnings"}  # objects of two fixed fields
    assert {name: mapped[name]["type"] in TYPES[kind] for name, kind in columns.items() if name not in warnings} == {
        name: True for name in columns if name not in warnings
    }
    assert {f"slipway.warnings.{part}" for part in ("feature", "reason")} <= mapped.keys() or dataset == "feedback"


@pytest.mark.parametrize("server", [EVERYTHING, BARE])
def test_no_mapping_grows(server):
    found = resources(settings(), server, stream_days(settings(), {}))
    mappings = [body for each in found if (body := each.body.get("template", {}).get("mappings"))]
    assert len(mappings) == len(DATASETS)
    assert all(each["dynamic"] is False for each in mappings)


def test_documents_stay_as_they_were_sent_on_elasticsearch_9_too():
    found = resources(settings(), EVERYTHING, stream_days(settings(), {}))
    modes = [body["index.mode"] for each in found if (body := each.body.get("template", {}).get("settings"))]
    assert modes == ["standard"] * len(DATASETS)


def test_no_field_is_the_parent_of_another():
    for name in ("prediction", "feedback", "service", "audit"):
        mapped = fields(name)
        parents = {path.rsplit(".", depth)[0] for path in mapped for depth in range(1, path.count(".") + 1)}
        assert parents & mapped.keys() == set()


def test_texts_of_callers_cannot_be_too_long_for_the_index():
    """Lucene refuses a term of more than 32,766 bytes, and with it the document."""
    for name in ("prediction", "feedback"):
        texts = [field for field in fields(name).values() if field["type"] in ("keyword", "flattened")]
        assert all(field["ignore_above"] * 4 < 32_766 for field in texts)


def test_the_mark_changes_with_the_fields_and_the_settings():
    assert mark(settings(), PREDICTION, EVERYTHING) != mark(settings(), PREDICTION, BARE)
    assert mark(settings(), PREDICTION, EVERYTHING) == mark(settings(), PREDICTION, EVERYTHING)


@pytest.mark.parametrize("role", ROLES)
def test_the_reference_lists_the_privileges_of_each_role(role):
    source = sources.read(f"security/{role}.yml")
    (row,) = re.findall(rf"^\| `{role}` \| ?(.*) \| (.*) \|$", REFERENCE.read_text(), re.MULTILINE)
    cluster, streams = (re.findall(r"`(\w+)`", cell) for cell in row)
    assert cluster == source["cluster"]
    assert streams == [privilege for entry in source["indices"] for privilege in entry["privileges"]]


def test_fields_are_nested_by_their_paths():
    assert nested({"a.b": {"type": "long"}, "a.c": {"type": "date"}}) == {
        "a": {"properties": {"b": {"type": "long"}, "c": {"type": "date"}}}
    }
    assert doctest.testmod(definitions).failed == 0
