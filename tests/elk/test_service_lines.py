"""The ingest pipeline of log lines, on a server that has its processors: each form of line, and what is no line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from slipway.clients import http
from tests.conftest import ROOT
from tests.elk.cases import CASES

PIPELINE = ROOT / "elk" / "ingest" / "service.yml"
READ = "2026-11-29T17:00:00.000Z"  # when Filebeat read it


@pytest.fixture(scope="module")
def parsed(opensearch: str) -> dict[str, dict[str, Any]]:
    """The documents that the pipeline makes of all lines, by the names of the cases."""
    sent = [{"_index": "logs", "_source": _as_logstash_sends(case["line"])} for case in CASES]
    body = {"pipeline": yaml.safe_load(PIPELINE.read_text()), "docs": sent}
    response = http.request("POST", f"{opensearch}/_ingest/pipeline/_simulate", document=body, timeout=60)
    assert response.ok, response.content.decode()
    results = json.loads(response.content)["docs"]
    return {case["name"]: result["doc"] for case, result in zip(CASES, results, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_line_becomes_these_fields(case: dict[str, Any], parsed: dict[str, dict[str, Any]]) -> None:
    document = parsed[case["name"]]
    found = {name: _field(document, name) for name in case["fields"]}
    for name, expected in case["fields"].items():
        if isinstance(expected, list) and str(expected[0]).startswith("~"):
            assert expected[0][1:] in str(found[name]), name
        else:
            assert found[name] == expected, name


def test_every_document_has_a_time_and_when_it_arrived_and_no_field_of_the_pipeline_itself(
    parsed: dict[str, dict[str, Any]],
) -> None:
    for name, document in parsed.items():
        source = document["_source"]
        assert source["@timestamp"] and source["event"]["ingested"], name
        assert not [field for field in source if field.startswith("slipway_")], name


def test_the_copy_of_a_line_that_logstash_adds_is_not_kept(parsed: dict[str, dict[str, Any]]) -> None:
    """It would hold the query strings that are cut from `message`."""
    assert not [name for name, document in parsed.items() if "original" in document["_source"]["event"]]
    assert "token=" not in json.dumps(list(parsed.values()))


def _as_logstash_sends(line: str) -> dict[str, Any]:
    return {"@timestamp": READ, "message": line, "event": {"original": line}, "log": {"file": {"path": "/a.log"}}}


def _field(document: dict[str, Any], name: str) -> Any:
    if name.startswith("_"):
        return document[name]
    found: Any = document["_source"]
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
