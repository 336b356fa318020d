"""Texts of others on the status page."""

from __future__ import annotations

import pytest

from monitoring.status.formatting import code


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
