from __future__ import annotations

import itertools
import json

import pytest

from slipway.contracts.schema import Feature, Schema, TableFormat, bin_labels, mask
from slipway.errors import InputError
from slipway.inference import Encoder
from slipway.inference.instance_parser import InstanceParser
from tests.support import bundles

SCHEMA = Schema(
    1,
    "u",
    "binary",
    (
        Feature("age of owner", "integer", range=(0, 120)),
        Feature("city", "category", vocabulary=("Kiel", "Rome"), nullable=True),
        Feature("income", "category", private="bucket", bins=(10, 20), vocabulary=bin_labels((10, 20))),
        Feature("is_new", "boolean", nullable=True),
    ),
    "y",
    ("good", "bad"),
    "bad",
    retired=("old",),
)
READER = InstanceParser(SCHEMA)
GOOD = {"age of owner": 41, "income": 12.5}


def read(*instances: object, **more: object) -> list[dict]:
    return READER.request(json.dumps({"instances": instances, **more}).encode(), 100).instances


def test_objects_and_arrays_are_parsed_alike() -> None:
    assert read({"age of owner": 41, "city": "Rome", "income": 12.5}) == read([41, "Rome", 12.5, None])


def test_an_absent_value_is_parsed_as_null() -> None:
    assert read(GOOD) == read(GOOD | {"city": None, "is_new": None})


def test_a_retired_feature_is_accepted_and_ignored() -> None:
    assert read(GOOD | {"old": {"any": ["thing"]}}) == read(GOOD)


def test_a_masked_value_is_valid() -> None:
    assert read(GOOD | {"income": "10 – 20"})[0]["income"] == "10 – 20"


def test_a_masked_integer_is_valid() -> None:
    parser = InstanceParser(Schema(1, "u", "binary", (Feature("ssn", "integer", private="token"),), "y"))
    token = "tok_" + "0" * 32
    assert parser.request(json.dumps({"instances": [{"ssn": token}]}).encode(), 1).instances == [{"ssn": token}]


def test_a_whole_float_is_an_integer() -> None:
    assert read(GOOD | {"age of owner": 41.0}) == read(GOOD)


@pytest.mark.parametrize(
    ("sent", "city"),
    [
        (" Rome", "Rome"),
        ("Rome\t", "Rome"),
        ("\u00a0Kiel ", "Kiel"),
        (" Oslo ", "Oslo"),
        ("NA", None),
        (" ? ", None),
        ("", None),
        ("Rome", "Rome"),
    ],
)
def test_a_text_means_what_it_means_in_training(sent: str, city: str | None) -> None:
    assert [row["city"] for row in read(GOOD | {"city": sent}, GOOD)] == [city, None]
    assert read([41, sent, 12.5, None])[0]["city"] == city
    assert READER.rows([GOOD | {"city": sent}])[0]["city"] == city


def test_a_known_value_is_no_missing_word_and_declared_words_are() -> None:
    features = (
        Feature("code", "category", vocabulary=("NA", "1"), nullable=True),
        Feature("grade", "category", vocabulary=("1.0", "A")),
    )
    parser = InstanceParser(Schema(1, "u", "binary", features, "y", table=TableFormat(missing=("-",))))
    sent = [{"code": code, "grade": "A"} for code in ("NA", " NA", "-", "null", "1.0", "x")]
    found = parser.request(json.dumps({"instances": sent}).encode(), 10)
    assert [row["code"] for row in found.instances] == ["NA", "NA", None, None, "1", "x"]
    grades = [{"code": "NA", "grade": grade} for grade in ("1", "1.0", " A", "-", "")]
    found = parser.request(json.dumps({"instances": grades}).encode(), 10)
    assert [row["grade"] for row in found.instances] == ["1.0", "1.0", "A", "-", ""], "it may not be left out"


def test_rows_of_trimmed_texts_have_the_key_of_the_trimmed_ones() -> None:
    row = {"age": 42.0, "visits": 3, "job": "nurse", "member": True}
    parser = InstanceParser(bundles.TABULAR)
    bodies = [json.dumps({"instances": [row, row | {"job": job}, row]}).encode() for job in ("pilot", " pilot")]
    plain, blank = (parser.request(body, 10) for body in bodies)
    assert plain.texts == blank.texts and plain.values == blank.values


def test_a_private_text_has_one_token_with_and_without_blanks() -> None:
    features = (Feature("mail", "category", private="token", nullable=True),)
    schema = Schema(1, "u", "binary", features, "y")
    rows = InstanceParser(schema).rows([{"mail": mail} for mail in (" a@b.c", "a@b.c", "a@b.c ", "NA")])
    tokens = [mask(row, schema, b"secret")["mail"] for row in rows]
    assert len(set(tokens[:3])) == 1 and tokens[3] is None


@pytest.mark.parametrize("number", ["9007199254740994.0", "1e17", "-9.1e15"])
def test_an_integer_that_may_have_been_rounded_is_refused(number: str) -> None:
    with pytest.raises(InputError, match="2\\^53 or more"):
        READER.request(b'{"instances": [{"age of owner": %b, "income": 1}]}' % number.encode(), 10)


@pytest.mark.parametrize("number", [2**63 - 1, 1 - 2**63, 2**53])
def test_integers_at_the_edge_of_64_bits_may_be_all_that_training_saw(number: int) -> None:
    feature = Feature("n", "integer", range=(float(number), float(number)))
    parser = InstanceParser(Schema(1, "u", "binary", (feature,), "y"))
    assert parser.rows([{"n": number}]) == [{"n": number}]
    assert parser.request(b'{"instances": [{"n": %d}]}' % number, 1).instances == [{"n": number}]


def test_an_integer_beyond_what_floats_hold_stays_exact() -> None:
    assert read(GOOD | {"age of owner": 2**53 + 1})[0]["age of owner"] == 2**53 + 1


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({"age of owner": "41"}, "age of owner", "str received, an integer is needed. Numbers are not put in quotes"),
        ({"age of owner": 41.5}, "age of owner", "41.5 received, an integer"),
        ({"age of owner": True}, "age of owner", "bool received, an integer"),
        ({"age of owner": None}, "age of owner", "null received, an integer"),
        ({"city": 5}, "city", "int received, a string or null is needed. Texts are put in quotes, codes of a category"),
        ({"city": 1.5}, "city", "float received, a string or null is needed. Texts are put in quotes"),
        ({"city": True}, "city", "bool received, a string or null is needed. Texts are put in quotes"),
        ({"is_new": "yes"}, "is_new", "str received, true or false or null"),
        ({"income": "plenty"}, "income", "a number or one of"),
        ({"agee": 1}, "agee", "unknown feature 'agee'"),
        ({"citi": 1}, "citi", "Did you mean 'city'"),
        ({"city": {"deep": 1}}, "city", "object received, a string"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(change: dict, place: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(GOOD, GOOD | change)
    assert caught.value.place == f"instances[1].{place}"
    assert caught.value.status == 422


def test_a_missing_feature_is_named() -> None:
    with pytest.raises(InputError, match="'income' is missing") as caught:
        read({"age of owner": 1})
    assert caught.value.place == "instances[0].income"


@pytest.mark.parametrize("name", ["a.b", "a`b", "[0]", "x" * 200, "ü" * 200, "__proto__"])
def test_a_feature_of_any_name_is_named_where_it_is_wrong(name: str) -> None:
    parser = InstanceParser(Schema(1, "u", "regression", (Feature(name, "number"),), "y"))
    for row in ({}, {name: "much"}):
        with pytest.raises(InputError) as refused:
            parser.request(json.dumps({"instances": [row]}, ensure_ascii=False).encode(), 1)
        assert refused.value.place == f"instances[0].{name}"


def test_a_wrong_value_of_an_array_is_named_by_its_feature() -> None:
    with pytest.raises(InputError) as caught:
        read(["41", None, 12.5, None])
    assert caught.value.place == "instances[0].age of owner"


@pytest.mark.parametrize("instance", [[41], [41, None, 12.5, None, 1], []])
def test_an_array_of_another_length_is_refused(instance: list) -> None:
    with pytest.raises(InputError, match="an array has 4 values"):
        read(instance)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not json", 400),
        (b"\xff\xfe", 400),
        (b'{"instances":[{"\xff":1}]}', 400),
        (b'{"instances":[{"age of owner":NaN,"income":1}]}', 400),
        (b'{"instances":[{"age of owner":1e999,"income":1}]}', 422),
        (b'{"instances":[]}', 422),
        (b'{"instances":{}}', 422),
        (b'{"instances":[5]}', 422),
        (b'{"rows":[]}', 422),
        (b"[]", 422),
        (b'{"instances":[{"age of owner":1,"income":1}],"keys":["a","b"]}', 422),
        (b'{"instances":[{"age of owner":1,"income":1}],"keys":[1]}', 422),
        (b'{"instances":' + b"[" * 10_000, 422),
        (b'{"instances":[{"age of owner":1,"income":1,"old":' + b"[" * 10_000 + b"]" * 10_000 + b"}]}", 400),
    ],
)
def test_a_body_that_is_no_request_is_an_input_error(body: bytes, status: int) -> None:
    with pytest.raises(InputError) as caught:
        READER.request(body, 100)
    assert caught.value.status == status


def test_too_many_instances_are_refused_with_the_limit() -> None:
    with pytest.raises(InputError, match="101 instances received, at most 100") as caught:
        read(*[GOOD] * 101)
    assert caught.value.status == 413


def test_dictionaries_of_python_are_read_alike() -> None:
    assert READER.rows([GOOD]) == read(GOOD)
    with pytest.raises(InputError, match="str received") as caught:
        READER.rows([GOOD, GOOD | {"age of owner": "1"}])
    assert caught.value.place == "instances[1].age of owner"


@pytest.mark.parametrize("number", ["1e39", "-3.5e38", "1e308"])
def test_a_number_that_32_bits_do_not_hold_is_refused_at_its_place(number: str) -> None:
    with pytest.raises(InputError, match="too large for 32 bits") as caught:
        READER.request(b'{"instances": [{"age of owner": 41, "income": %b}]}' % number.encode(), 10)
    assert caught.value.place == "instances[0].income"


@pytest.mark.parametrize("body", ['{"income": "%s"}', '{"%s": 1}'])
def test_an_error_shows_a_little_of_a_long_text(body: str) -> None:
    with pytest.raises(InputError) as caught:
        READER.request(f'{{"instances": [{body % ("a" * 100_000)}]}}'.encode(), 10)
    assert len(str(caught.value)) < 300
    assert len(caught.value.place or "") < 100


def test_in_range_rows_have_no_warning() -> None:
    """Rows that the strict decoder takes have no warning; rows without one may still fail in it."""
    reader, encoder = InstanceParser(bundles.TABULAR), Encoder(bundles.TABULAR)
    ages = [17.9, 18, 30.5, 100, 100.1, 1e30]
    visits = [-1, 0, 7, 50, 51, 7.0, None]
    number_in_range = 0
    for age, number, job, member in itertools.product(ages, visits, ["nurse", "astronaut"], [True, False, None]):
        row = {"age": age, "visits": number, "job": job, "member": member}
        request = reader.request(json.dumps({"instances": [row]}).encode(), 10)
        warnings = encoder.warnings(encoder.encode_values(request.values))
        number_in_range += request.in_range
        assert request.instances == [row]
        assert not (request.in_range and warnings)
        assert request.in_range or warnings or number == 7
    assert number_in_range == 3 * 3 * 2
