"""Keys of metrics in MLflow: each name has its own, which MLflow allows."""

from __future__ import annotations

import unicodedata

import pytest

from slipway.clients.mlflow.metric_keys import allowed_keys

ODD = [
    "a$b",
    "a%b",
    "a:b",
    "a?b",
    "größe",
    "a\nb",
    "..",
    ".",
    "/",
    "a//b",
    "a/",
    "/a",
    "a/../b",
    "<b>",
    "💶",
    "a" * 200,
]


@pytest.mark.parametrize("name", ["age", "Age", "debt/income", "mean area", "a.b", "a-b", "prediction.label", "größe"])
def test_a_name_that_mlflow_allows_stays(name):
    assert allowed_keys([name]) == {name: name}


@pytest.mark.parametrize(
    "names",
    [
        *(["a$b", "a%b", "a_b"], ["Age", "age", "AGE"], ["straße", "STRASSE"], ["é", "e\u0301"], ["a/b", "a//b"]),
        *(["é", "e", "É"], ["a", "a ", "a  "], ["ﬁ", "fi"], ["İ", "i"], ["ñ", "n\u0303", "n"]),
        ["a$b", allowed_keys(["a$b"])["a$b"]],
        ["a$b", "a_b", allowed_keys(["a$b"])["a$b"], allowed_keys([allowed_keys(["a$b"])["a$b"]]).popitem()[1]],
    ],
)
def test_two_names_stay_two_whatever_the_database_ignores(names):
    found = allowed_keys(names)
    assert len({_without_accents(key).casefold().rstrip() for key in found.values()}) == len(names)


def _without_accents(name: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))


def test_the_key_of_a_refused_name_does_not_depend_on_the_others():
    assert allowed_keys(["a$b"])["a$b"] == allowed_keys(["a$b", "a_b", "c"])["a$b"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_mlflow_takes_every_key(name):
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(f"adjusted_p/{allowed_keys([name])[name]}/chi2_missing")
