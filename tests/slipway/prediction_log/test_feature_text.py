"""Logged features in SQL: each name finds its own value, whatever it means in a path of JSON."""

from __future__ import annotations

import json

import duckdb
import pytest

from slipway.prediction_log.jsonl import feature_text

NAMES = [
    *("*", "$", "a.b", "a", "A", 'a"b', "a'b", "a\\b", "a\\\\b", '\\"', "/", "~", "a/b", "a~1b"),
    *("[0]", "0", "-", "x'); --", "é"),
]
LOGGED = json.dumps({name: f"of {name}" for name in NAMES})


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_of_any_name_has_its_own_value(name):
    found = duckdb.sql(
        f"""SELECT {feature_text(name)} FROM (SELECT '{LOGGED.replace("'", "''")}'::JSON AS "slipway.features")"""
    )
    assert found.fetchall() == [(f"of {name}",)]


@pytest.mark.parametrize(("logged", "text"), [("1.5", "1.5"), ("true", "true"), ("null", None), ('"null"', "null")])
def test_a_value_is_its_text_and_null_is_none(logged, text):
    found = duckdb.sql(f"""SELECT {feature_text("x")} FROM (SELECT '{{"x": {logged}}}'::JSON AS "slipway.features")""")
    assert found.fetchall() == [(text,)]
