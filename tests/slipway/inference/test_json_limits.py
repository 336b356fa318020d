from __future__ import annotations

import json
import random
import time

import pytest

from slipway.errors import InputError
from slipway.inference.json_errors import split_message
from slipway.inference.json_limits import SMALL, count_elements, require_bounded

TEXTS = ["", ",", "{[,", 'a"b,', "\\", '\\",', "\\\\", '"', "ü,", "\U0001f600,", "\n,"]


def made(rng: random.Random, depth: int = 0) -> object:
    kind = rng.randrange(6 if depth < 4 else 3)
    if kind < 3:
        return rng.choice([None, 1.5, rng.choice(TEXTS) + rng.choice(TEXTS)])
    values = [made(rng, depth + 1) for _ in range(rng.randrange(5))]
    return values if kind < 5 else {rng.choice(TEXTS) + str(n): value for n, value in enumerate(values)}


def elements(value: object) -> int:
    """The opening brackets, and the commas between the values."""
    if not isinstance(value, (list, dict)):
        return 0
    values = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(len(values) - 1, 0) + sum(map(elements, values))


@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_is_in_a_string_is_no_element(ascii_only):
    rng = random.Random(7)
    for _ in range(300):
        value = made(rng)
        assert count_elements(json.dumps(value, ensure_ascii=ascii_only).encode()) == elements(value)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"{}," * 40_000 + b"{}]",
        b"[" * 80_000,
        b"[" + b"[]," * 40_000 + b"[]]",
        b"[" + b"1," * 80_000 + b"1]",
        b"[" + b'"",' * 40_000 + b'""]',
        b'{"a":"' + b"x" * SMALL + b'","b":[' + b"0," * 80_000,
        b'["\\\\",' + b"{}," * 40_000,
        b'["\\\\\\"",' + b"{}," * 40_000,
    ],
)
def test_more_elements_than_are_read_are_refused(body):
    with pytest.raises(InputError, match=r"at most 20,000 are read") as refused:
        require_bounded(body, 20_000)
    assert refused.value.status == 413


def test_commas_in_texts_do_not_count_against_a_body():
    require_bounded(json.dumps([{"a": "," * 500}] * 1000).encode(), 2000)


LONG = b"x" * (SMALL + 10)
WIDE = ["ü".encode(), "\U0001f600".encode(), rb"\ud83d\ude00", rb"\u00e9", rb"\u0080"]


@pytest.mark.parametrize("wide", WIDE)
@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"' + LONG + b'%b"}',
        b'{"%b' + LONG + b'":1}',
        b'{"a":"' + rb"\"\\" * SMALL + b'%b"}',
        b'{"b64":"' + LONG + b'","key":"' + LONG + b"%b",
        b'["",' * 9 + b'"' + LONG + b'%b"]',
    ],
)
def test_a_long_text_with_a_wide_character_is_refused(body, wide):
    with pytest.raises(InputError, match="not ASCII"):
        require_bounded(body.replace(b"%b", wide), 20_000)


@pytest.mark.parametrize("wide", WIDE)
def test_long_base64_and_short_texts_with_wide_characters_are_read(wide):
    require_bounded(b'{"instances":[{"image":{"b64":"' + LONG + rb'\/"}}],"keys":["' + wide + b'"]}', 20_000)
    require_bounded(b"[" + b'"%b",' % wide * 10_000 + b"1]", 20_000)
    require_bounded(b'["%b",[' % wide + b"1.25," * 15_000 + b"1]]", 20_000)


@pytest.mark.parametrize("escape", [rb"\u002b", rb"\u002B", rb"\u0000", rb"\/"])
def test_a_long_text_with_escaped_ascii_is_read(escape):
    """As .NET escapes the plus of base64."""
    require_bounded(b'{"instances":[{"image":{"b64":"' + LONG + escape + b'"}}]}', 20_000)


@pytest.mark.alone
def test_the_elements_of_a_large_body_are_counted_sooner_than_it_would_be_decoded():
    body = b"[" + b'"a,b",' * 400_000 + b"1]"
    began = time.process_time()
    assert count_elements(body) == 400_001
    counted = time.process_time() - began
    began = time.process_time()
    json.loads(body)
    assert counted < 2 * (time.process_time() - began)


def test_a_message_with_a_callers_text_is_cut_and_split_in_time():
    name = " - at `$." * 500_000 + "\n"
    began = time.process_time()
    wrong, place = split_message(f"Object contains unknown field `{name}` - at `$.feedback[3]`")
    assert len(wrong) == 300
    assert place == "feedback[3]"
    wrong, place = split_message(f"Object contains unknown field `{name}`")
    assert len(wrong) == 300
    assert len(place or "") < 400
    assert time.process_time() - began < 0.5
