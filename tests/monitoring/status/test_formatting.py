"""Texts of others, figures and sparklines on the status page."""

from __future__ import annotations

import re

import pytest

from monitoring.status.formatting import code, duration, rate, share, sparkline


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("run `slipway up` now", "run <code>slipway up</code> now"),
        ("`a` and `b`", "<code>a</code> and <code>b</code>"),
        ("one ` alone", "one ` alone"),
        ("<b>`<script>`</b>", "&lt;b&gt;<code>&lt;script&gt;</code>&lt;/b&gt;"),
        ("`\"'&`", "<code>&#34;&#39;&amp;</code>"),
        ("", ""),
    ],
)
def test_backticks_become_code_and_everything_is_escaped(text, shown):
    assert str(code(text)) == shown


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (duration(None), "–"),
        (duration(0.0), "0 ms"),
        (duration(0.00312), "3.12 ms"),
        (duration(0.9999), "1 s"),
        (duration(42), "42 s"),
        (duration(119), "119 s"),
        (duration(120), "2 min"),
        (duration(9_000), "2.5 h"),
        (duration(864_000), "10 days"),
        (rate(None), "–"),
        (rate(0.0), "0 / s"),
        (rate(0.0334), "0.0334 / s"),
        (rate(1234.5), "1,234 / s"),
        (share(None), "–"),
        (share(0.0), "0 %"),
        (share(0.000214), "0.021 %"),
        (share(0.5), "50 %"),
    ],
)
def test_figures_have_the_unit_that_fits(shown, text):
    assert shown == text


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([0.0, 2.0, 1.0], "M0 47h0l1-46l1 23"),
        ([None, 1.0, None, 1.0, 1.0], "M1 1h0M3 1h0l1 0"),
        ([0.0, 0.0], "M0 47h0l1 0"),
    ],
)
def test_a_sparkline_is_a_path_with_gaps(values, path):
    assert f'<path d="{path}"/>' in sparkline(values, "requests", "rate")


def test_a_sparkline_without_a_value_is_nothing():
    assert sparkline([None, None], "requests", "rate") == ""


def test_the_limit_is_a_line_where_it_was_reached():
    assert re.findall(r'<line [^>]*y1="(\d+)"', sparkline([0.01, 0.1], "latency", "duration", 0.05)) == ["24"]
    assert "<line" not in sparkline([0.01, 0.04], "latency", "duration", 0.05)


def test_what_a_sparkline_is_of_is_escaped():
    assert "<b>" not in sparkline([1.0], '<b>"', "rate")
