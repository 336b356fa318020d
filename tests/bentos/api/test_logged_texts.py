"""What is answered can be read from the log, whatever texts it holds; what could not is refused."""

from __future__ import annotations

import msgspec
import pytest

from slipway.contracts.events import prediction_event
from slipway.contracts.schema import Feature
from slipway.inference.instance_parser import InstanceParser
from slipway.prediction_log import Log
from slipway.prediction_log.jsonl import MAX_LINE
from slipway.settings import settings
from tests.support import bundles

ROW = {"age": 30, "visits": 3, "job": "nurse", "member": True}
LONGEST = prediction_event.MAX_TEXT
TEXTS = {
    "plain": "x" * LONGEST,
    "wide": "\U0001f600" * LONGEST,
    "control characters": "\x01" * LONGEST,
    "NUL": "\0" * LONGEST,
    "quotes and backslashes": '"\\' * (LONGEST // 2),
    "line ends": "a\r\n\u2028\u0085b",
    "markup": "</script>",
    "no characters": "\ufffe\uffff\U0010ffff",
    "empty": "",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in TEXTS.items()])
@pytest.mark.parametrize("schema", [bundles.TABULAR, bundles.PRIVATE], ids=["plain", "masked"])
def test_what_is_answered_is_read_from_the_log(start_client, schema, text):
    client = start_client(schema)
    row = {**bundles.ROWS[schema.usecase][0], "job": text}
    key = {"x-request-id": "r" * 128, "traceparent": f"00-{'a' * 32}-{'b' * 16}-01-{'c' * 4000}"}
    body = {"instances": [row], "keys": [text]}
    assert client.post(f"/v1/models/{schema.usecase}/predict", body, **key).status == 200
    log = Log(settings())
    events = log.predictions(schema.usecase).select('"slipway.key", "slipway.features"').fetchall()
    assert [(event, msgspec.json.decode(features)["job"]) for event, features in events] == [(text, text)]
    assert log.bad_lines == 0


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in TEXTS.items()])
def test_a_label_that_is_accepted_is_read_from_the_log(start_client, text):
    client = start_client()
    assert client.post("/v1/models/loans/feedback", {"feedback": [{"key": text, "label": "bad"}]}).status == 200
    log = Log(settings())
    assert log.feedback("loans").select('"slipway.key"').fetchall() == [(text,)]
    assert log.bad_lines == 0


@pytest.mark.parametrize("private", [None, "token", "drop"])
@pytest.mark.parametrize("kind", ["category", "number"])
def test_a_text_that_is_too_long_is_refused_before_it_is_predicted(start_client, private, kind):
    vocabulary = ("a",) if kind == "category" else None
    extra = Feature("note", kind, private=private, nullable=True, vocabulary=vocabulary)
    schema = msgspec.structs.replace(bundles.TABULAR, features=(*bundles.TABULAR.features, extra))
    client = start_client(schema)
    answer = client.predict({**ROW, "note": "x" * (LONGEST + 1)})
    assert (answer.status, answer.json["place"]) == (422, "instances[0].note")
    assert "xxx" not in answer.json["detail"]
    assert client.events() == []
    assert client.post("/v1/models/loans/feedback", {"feedback": [{"key": "x" * 1025, "label": "bad"}]}).status == 422


@pytest.mark.parametrize("features", [1, 20, 3000])
def test_the_longest_event_is_shorter_than_the_longest_line_that_is_read(features):
    names = [f"t{number}" for number in range(features)]
    schema = msgspec.structs.replace(
        bundles.TABULAR, features=tuple(Feature(name, "category") for name in names), retired=()
    )
    parser = InstanceParser(schema)
    longest = next(n for n in (LONGEST, LONGEST // 2, 600, 100) if _parses(parser, names, n))
    assert longest >= 100
    logged = msgspec.json.encode(dict.fromkeys(names, "\x01" * longest)) + msgspec.json.encode("\x01" * LONGEST)
    warnings = msgspec.json.encode([{"feature": name, "reason": "unknown_category"} for name in names])
    assert len(logged) + len(warnings) + 4096 < MAX_LINE


def _parses(parser: InstanceParser, names: list[str], length: int) -> bool:
    try:
        parser.rows([dict.fromkeys(names, "\x01" * length)])
    except Exception:
        return False
    return True


def test_a_category_as_long_as_in_training_is_predicted(start_client):
    long = "x" * 3000
    job = Feature("job", "category", vocabulary=("clerk", "nurse", "pilot", long))
    features = tuple(job if feature.name == "job" else feature for feature in bundles.TABULAR.features)
    client = start_client(msgspec.structs.replace(bundles.TABULAR, features=features))
    assert client.predict({**ROW, "job": long}).status == 200
    assert client.predict({**ROW, "job": long + "x"}).status == 422
