"""Reports run no script that came from a caller, in whichever viewer they are opened."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from monitoring.analysis import verdict
from monitoring.analysis.drift import Column, Table, Thresholds, compare
from monitoring.reports import evidently_report
from monitoring.reports.html_report import render
from tests.support.browser import Browser

OWNED = "document.title='owned'"
PAYLOADS = [
    f"</script><script>{OWNED}</script>",
    f"</ScRiPt ><script>{OWNED}</script>",
    f"<!--<script>{OWNED}",
    f'<img src=x onerror="{OWNED}">',
    f"<svg/onload={OWNED}>",
    f"<iframe srcdoc='<script>parent.{OWNED}</script>'>",
    f'<a href="javascript:{OWNED}">read me</a>',
    f"<meta http-equiv=refresh content='0;url=data:text/html,<script>{OWNED}</script>'>",
    f"\u2028{OWNED}//",
    f"\u2029{OWNED}//",
    f"\n    var metric_{'0' * 32} = 1;{OWNED};",
    f'";{OWNED};//',
    f"\\u003cscript>{OWNED}",
    f"${{{OWNED}}}",
    f"]]><script>{OWNED}</script>",
    f"--><script>{OWNED}</script>",
    f'{{{{constructor.constructor("{OWNED}")()}}}}',
    "a&lt;b",
]


class Scripts(HTMLParser):
    """The scripts and the handlers of events in a page, as a browser finds them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1] += data


def tables() -> tuple[Table, Table, list[Column]]:
    """A feature, a prediction and the names of columns that hold every payload."""
    rng = np.random.default_rng(7)
    columns = [
        Column("job", "category"),
        Column(PAYLOADS[0], "category"),
        Column("prediction.label", "category", "prediction"),
    ]
    reference: dict[str, np.ndarray] = {
        column.name: rng.choice(np.array(["a", "b"], object), 400) for column in columns
    }
    window = {column.name: np.array(PAYLOADS * 20 + ["a"] * 40, object) for column in columns}
    window["prediction.label"] = window["prediction.label"][:300]
    return reference, window, columns


@pytest.fixture(scope="module")
def evidently_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reference, window, columns = tables()
    page = tmp_path_factory.mktemp("page") / "page.html"
    evidently_report.score(reference, window, compare(reference, window, columns, Thresholds()), 0.05).save(page)
    return page


@pytest.fixture
def chromium(needs: Callable[[str], Path], tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(needs("chromium"), tmp_path / "profile")
    yield browser
    browser.close()


def own_page() -> str:
    reference, window, columns = tables()
    results = compare(reference, window, columns, Thresholds())
    found = {
        "usecase": PAYLOADS[0],
        "environment": "local",
        "created": "2026-01-31T12:00:00Z",
        "version": PAYLOADS[3],
        "window": {"rows": 400, "sampled": 400, "since": "2026-01-31T11:00:00Z", "until": "2026-01-31T12:00:00Z"},
        "reference": {"rows": 400},
        **verdict.conclude(results, 400, 100),
        "alarm_rate": 0.05,
        "quality": {"sentence": PAYLOADS[0], "metrics": {}},
        "synthetic": False,
        "notes": PAYLOADS,
    }
    return render(found, reference, window, {PAYLOADS[3]: "a.html"})


def test_no_payload_is_a_script_a_tag_or_a_handler_of_our_own_report() -> None:
    page = own_page()
    found = Scripts(page)
    assert (found.scripts, found.handlers) == ([], [])
    assert {"img", "iframe"}.isdisjoint(found.tags)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


@pytest.mark.slow
def test_no_payload_leaves_the_data_of_evidentlys_page(evidently_page: Path) -> None:
    page = evidently_page.read_text()
    found = Scripts(page)
    assert found.handlers == []
    assert {"img", "iframe", "a"}.isdisjoint(found.tags)
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    [nonce] = re.findall(r"script-src 'nonce-([0-9a-f]{32})'", policy)
    assert "unsafe-inline" not in policy.replace("style-src 'unsafe-inline'", "")
    assert page.index("Content-Security-Policy") < page.index("<script")
    lines = [line for line in page.splitlines() if OWNED in line]
    assert len(lines) == len([line for line in lines if re.match(r" {4}var \w*metric_[0-9a-f]{32} = ", line)])
    for line in lines:
        assert not set("<>&\u2028\u2029") & set(line)
        json.loads(line.partition(" = ")[2].removesuffix(";"))
    assert page.count(f"<script nonce={nonce}>") == page.count("<script nonce=") >= 4


def test_a_page_of_another_form_than_is_known_is_not_written() -> None:
    with pytest.raises(ValueError, match="0 lines of data"):
        evidently_report._without_scripts_in_data("<head></head><script>var x = 1;</script>")


def test_a_report_in_chromium_runs_no_script_of_a_caller_and_draws_its_plots(
    evidently_page: Path, chromium: Browser, tmp_path: Path
) -> None:
    chromium.open(evidently_page.as_uri())
    chromium.until("document.querySelectorAll('.plotly text').length > 20", 60)
    shown = chromium.run("[...document.querySelectorAll('.plotly text')].map(text => text.textContent)")
    assert chromium.run("document.title") == ""
    assert PAYLOADS[3] in shown, "it is shown as it was sent"
    assert "a&lt;b" in shown
    assert chromium.run("document.querySelectorAll('img, iframe, a[href^=javascript]').length") == 0
    ours = tmp_path / "ours.html"
    ours.write_text(own_page(), encoding="utf-8")
    chromium.open(ours.as_uri())
    chromium.until("document.querySelectorAll('svg.histogram').length")
    assert chromium.run("document.title").endswith("drift")
    assert chromium.run("document.querySelectorAll('img, iframe, script').length") == 0
    assert chromium.console == []
