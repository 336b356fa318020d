"""The web page: its files, then its use by a person, in a real browser with the real server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bentos.api import web_page
from slipway.contracts.schema import Feature
from tests.bentos.server.processes import Server
from tests.support import bundles
from tests.support.browser import Browser

ODD_NAMES = (
    "age",
    "age-hint",
    "Age",
    "a",
    "a b",
    "a_b",
    "a.b",
    "__proto__",
    "constructor",
    "key",
    "page",
    "truth",
    "x" * 200,
)
ODD = msgspec.structs.replace(
    bundles.TABULAR,
    usecase="odd_names",
    features=tuple(Feature(name, "number", nullable=name == "constructor") for name in ODD_NAMES),
)
SCHEMAS = (bundles.TABULAR, bundles.IMAGES, bundles.REGRESSION, bundles.PRIVATE, ODD)
OVERRIDE = "ann: the pilot runs on ten customers who know"
PREDICT = ".actions button"


def test_nothing_is_inline_and_nothing_is_loaded_from_other_origins() -> None:
    html = web_page.render(["digits"])
    sources = re.findall(r'(?:src|href)="([^"#]*)', html)
    files = {f"page/{name}" for name in web_page.MEDIA_TYPES}
    assert set(sources) <= {"", ".", "docs"} | files, "relative: a proxy may publish the service under a path"
    assert not re.search(r"<style|<script(?![^>]*src=)|\son\w+=|\sstyle=", html)
    assert "unsafe" not in web_page.HEADERS["Content-Security-Policy"]
    assert web_page.HEADERS["Content-Security-Policy"].startswith("default-src 'none'")


def test_scripts_import_only_files_of_the_page() -> None:
    for script in Path(web_page.__file__).parent.glob("*.js"):
        for name in re.findall(r'from "([^"]+)"', script.read_text()):
            assert name.removeprefix("./") in web_page.MEDIA_TYPES, f"{script.name} imports {name}"


def test_names_are_escaped() -> None:
    assert "<b>" not in web_page.render(['<b>"'])


NO_FILES = ["/page/", "/page/../service.py", "/page/__init__.py", "/page/index.html", "/page//page.css", "/x"]


@pytest.mark.parametrize("path", [*NO_FILES, "/page/x/../page.css", "/page/./page.css", "/page/page.css/"])
def test_no_path_leads_out_of_the_page(start_client, path: str) -> None:
    client = start_client()
    assert client.get("/page/page.css").headers["content-type"] == "text/css; charset=utf-8"
    assert client.get(path).status == 404


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the use cases of SCHEMAS."""
    folder = tmp_path_factory.mktemp("page")
    rows = [{name: float(k + place) for place, name in enumerate(ODD_NAMES) if name != "constructor"} for k in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(bundles.ROWS, ODD.usecase, rows)
        for schema in SCHEMAS:
            gate = {"passed": False, "override": OVERRIDE} if schema is bundles.REGRESSION else {}
            bundles.promote(folder / "var", folder / schema.usecase, schema, version="7", **gate)
    with Server(folder / "var", tuple(schema.usecase for schema in SCHEMAS)) as running:
        yield running


@pytest.fixture(scope="module")
def chromium(needs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(needs("chromium"), tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser, server: Server) -> Iterator[Browser]:
    """Provide a browser whose console must stay empty, except for refusals that a test provokes."""
    chromium.console.clear()
    yield chromium
    unexpected = [text for text in chromium.console if "status of 4" not in text]
    assert not unexpected, "scripts failed, or the policy refused something"


def open_usecase(browser: Browser, server: Server, usecase: str, **options: object) -> None:
    browser.open(f"http://127.0.0.1:{server.port}/#{usecase}", **options)
    browser.until("document.querySelector('form.inputs')")


def feedback_lines(server: Server, usecase: str) -> list[dict]:
    return lines(server, usecase, "feedback")


def lines(server: Server, usecase: str, stream: str) -> list[dict]:
    paths = (server.var / "spool" / usecase).glob(f"{stream}-*")
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def logged(browser: Browser, server: Server, usecase: str) -> dict:
    """Return what is logged of the prediction that the page shows."""
    row = browser.text(".origin dd:last-of-type")
    [ours] = [event["slipway"] for event in lines(server, usecase, "prediction") if event["slipway"]["row_id"] == row]
    return ours


def is_test(browser: Browser, server: Server, usecase: str) -> bool:
    """Whether the prediction that the page shows is logged as a test."""
    return logged(browser, server, usecase).get("test", False)


def test_an_override_is_shown_with_who_and_why(browser: Browser, server: Server) -> None:
    open_usecase(browser, server, "prices")
    assert f"Its gates failed: it is served as somebody decided. {OVERRIDE}" in browser.text(".heading")
    open_usecase(browser, server, "loans")
    assert "gates" not in browser.text(".heading")


def test_a_row_is_filled_in_answered_and_labelled(browser: Browser, server: Server) -> None:
    open_usecase(browser, server, "loans")
    assert "Synthetic" in browser.text(".heading")
    assert browser.run("document.getElementById('field-age').value") == "20"
    assert browser.run("document.getElementById('field-job').value") == "clerk"
    assert browser.run("document.getElementById('field-member').value") == "true"
    assert "18 to 100" in browser.text("#hint-age") and "years" in browser.text(".field .unit")
    browser.run("document.getElementById('field-age').value = 300, document.getElementById('field-visits').value = ''")
    browser.click(PREDICT)
    browser.until("document.querySelector('.verdict')")
    assert browser.text(".verdict strong") in ("good", "bad")
    assert re.search(r"P\(bad\) = 0\.\d+, (at or above|below) the threshold 0\.5", browser.text(".decision"))
    assert browser.run("document.querySelectorAll('.bars li').length") == 2
    assert "Age is outside the range" in browser.text(".warnings")
    assert "Visits is empty" in browser.text(".warnings")
    assert "loans, version 7" in browser.text(".origin")
    browser.run("document.querySelector('.feedback select').value = 'bad'")
    browser.click(".feedback button")
    browser.until("document.querySelector('.feedback [role=status]').innerText.includes('Recorded')")
    (sent,) = feedback_lines(server, "loans")
    assert sent["slipway"]["label"] == "bad"
    assert sent["slipway"]["row_id"] == browser.text(".origin dd:last-of-type")
    assert not is_test(browser, server, "loans"), "this row is nobody's example"


def test_a_refusal_of_the_server_is_shown_at_the_field(browser: Browser, server: Server) -> None:
    open_usecase(browser, server, "loans")
    browser.run("document.getElementById('field-age').value = ''")
    browser.click(PREDICT)
    browser.until("document.querySelector('.refused')")
    assert browser.run("document.getElementById('field-age').getAttribute('aria-invalid')") == "true"
    assert browser.text("#problem-age") and browser.text(".refused code")
    assert browser.run("document.activeElement.id") == "field-age"
    browser.run("document.getElementById('field-age').value = '30'")
    browser.click(PREDICT)
    browser.until("document.querySelector('.verdict')")
    assert browser.text("#problem-age") == ""


def test_another_example_fills_the_form_anew(browser: Browser, server: Server) -> None:
    open_usecase(browser, server, "loans")
    browser.click(".actions .plain")
    assert browser.run("document.getElementById('field-age').value") == "21"


def test_a_sample_image_answers_with_one_click(browser: Browser, server: Server) -> None:
    open_usecase(browser, server, "shapes", dark=True)
    browser.click(".samples button:nth-child(3)")
    browser.until("document.querySelector('.verdict')")
    assert browser.text(".verdict strong") in bundles.IMAGES.classes
    assert is_test(browser, server, "shapes")
    assert browser.run("document.querySelectorAll('.bars li').length") == 3
    assert browser.run("document.querySelector('.drop img').naturalWidth") == 8
    assert not browser.run("document.querySelector('.note')"), "these images are real"


def test_an_image_is_answered_and_a_broken_one_refused_at_its_field(
    browser: Browser, server: Server, tmp_path: Path
) -> None:
    open_usecase(browser, server, "shapes", width=400)
    (tmp_path / "mine.png").write_bytes(bundles.png(seed=5))
    browser.choose_file("#field-image", tmp_path / "mine.png")
    browser.until("document.querySelector('.verdict')")
    (tmp_path / "broken.png").write_bytes(bundles.png(seed=5)[:40])
    browser.choose_file("#field-image", tmp_path / "broken.png")
    browser.until("document.querySelector('.refused')")
    assert "image" in browser.text("#problem-image")
    assert browser.run("document.documentElement.scrollWidth") <= 400, "nothing sticks out on a telephone"


def test_a_regression_answers_in_its_unit(browser: Browser, server: Server) -> None:
    open_usecase(browser, server, "prices")
    browser.click(PREDICT)
    browser.until("document.querySelector('.verdict')")
    assert browser.text(".verdict strong").endswith(" EUR")
    assert not browser.run("document.querySelector('.bars')")


def test_private_values_have_fields_as_the_schema_defines_them(browser: Browser, server: Server) -> None:
    open_usecase(browser, server, "private_loans")
    assert not browser.run("document.getElementById('field-nation')"), "what is dropped is not asked for"
    assert browser.run("document.getElementById('field-income').value") == "1000 – 3000"
    assert browser.run("document.getElementById('field-email').value") == "", "a token tells nobody anything"
    assert "masked" in browser.text("#hint-email")
    browser.run("document.getElementById('field-email').value = 'ann@example.org'")
    browser.click(PREDICT)
    browser.until("document.querySelector('.verdict')")


def test_the_tabs_lead_from_one_use_case_to_the_next(browser: Browser, server: Server) -> None:
    open_usecase(browser, server, "loans")
    browser.click("nav a[data-usecase=prices]")
    browser.until("document.querySelector('h1')?.innerText === 'Prices'")
    assert browser.text("nav a[aria-current]") == "prices"
    assert browser.run("document.title") == "Prices · Slipway"


@pytest.mark.parametrize("usecase", [schema.usecase for schema in SCHEMAS])
def test_every_control_has_a_name_for_those_who_do_not_see_it(browser: Browser, server: Server, usecase: str) -> None:
    open_usecase(browser, server, usecase)
    browser.click(PREDICT)
    browser.until("document.querySelector('.verdict')")
    nameless = """[...document.querySelectorAll('input, select, button, img')].filter(one =>
        !(one.labels?.length || one.innerText || one.alt || one.ariaLabel || one.querySelector?.('img[alt]')
          || (one.tagName === 'IMG' && one.getAttribute('alt') === ''))).map(one => one.outerHTML)"""
    assert browser.run(nameless) == []


def test_every_name_has_a_field_of_its_own_whose_value_is_sent(browser: Browser, server: Server) -> None:
    open_usecase(browser, server, ODD.usecase)
    fields = "[...document.querySelectorAll('.field')]"
    assert browser.run(f"{fields}.map((one) => one.querySelector('label').innerText)") == [
        *("age", "Age-hint", "Age", "A", "a b", "a_b", "A.b", "proto", "Constructor", "Key", "Page", "Truth"),
        "X" + "x" * 199,
    ]
    assert browser.run(f"{fields}.map((one) => one.querySelector('input').value)") == [
        "" if name == "constructor" else str(place) for place, name in enumerate(ODD_NAMES)
    ]
    assert browser.run("new Set([...document.querySelectorAll('[id]')].map((one) => one.id)).size") == browser.run(
        "document.querySelectorAll('[id]').length"
    )
    browser.run(f"{fields}.forEach((one, place) => (one.querySelector('input').value = 100 + place))")
    browser.click(PREDICT)
    browser.until("document.querySelector('.verdict')")
    assert logged(browser, server, ODD.usecase)["features"] == {
        name: 100 + place for place, name in enumerate(ODD_NAMES)
    }


def test_a_refusal_is_shown_at_the_field_that_it_names_and_at_no_other(browser: Browser, server: Server) -> None:
    open_usecase(browser, server, ODD.usecase)
    browser.run("document.getElementById('field-a.b').value = ''")
    browser.click(PREDICT)
    browser.until("document.querySelector('.refused')")
    wrong = "[...document.querySelectorAll('.field.wrong label')].map((one) => one.title)"
    assert browser.run(wrong) == ["a.b"]
