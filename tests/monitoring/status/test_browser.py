"""The status page in a real browser: it renews itself, fits a phone, and everybody can use it."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from benchmarks.status_page.many_models import board
from monitoring.status.app import application
from monitoring.status.dashboard import Dashboard
from slipway.settings import settings
from tests.support.browser import Browser
from tests.support.servers import free_port

AXE = Path(__file__).resolve().parents[2] / "support" / "axe"
CARD = "[data-part='model-credit_risk_0']"
SERIOUS = """axe.run().then(({violations}) => violations
  .filter(({impact}) => ["serious", "critical"].includes(impact))
  .map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html).join(" | ").slice(0, 500)}`))"""


class Page:
    """A served status page, which shows `board`."""

    def __init__(self) -> None:
        self.board: Dashboard = board(4)
        self.url = f"http://127.0.0.1:{free_port()}/"

    def show_version(self, version: str) -> None:
        """Show another version of the first model, and all else as before."""
        first, *others = self.board.usecases
        self.board = replace(self.board, usecases=[replace(first, versions=[version]), *others])


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    found = Page()
    app = application(settings(), lambda: found.board, lambda: True)
    port = int(found.url.rstrip("/").rpartition(":")[2])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield found
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def chromium(needs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(needs("chromium"), tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Provide a browser whose console must stay empty."""
    chromium.console.clear()
    yield chromium
    assert chromium.console == [], "scripts failed, or the policy refused something"


@pytest.fixture(scope="module")
def axe(needs: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Install axe-core, as the lock names it, and return its script."""
    folder = tmp_path_factory.mktemp("axe") / "axe"
    shutil.copytree(AXE, folder)
    subprocess.run([needs("npm"), "ci", "--no-progress"], cwd=folder, capture_output=True, check=True)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def opened(browser: Browser, page: Page, **options: object) -> None:
    browser.open(page.url, **options)
    browser.until("document.readyState === 'complete' && document.querySelector('footer time')")


def test_the_page_renews_itself_under_its_own_content_policy(browser: Browser, page: Page) -> None:
    page.show_version("1")
    opened(browser, page)
    assert "version 1 serves" in browser.text(CARD)
    page.show_version("2")
    browser.until(f"document.querySelector(\"{CARD}\").innerText.includes('version 2 serves')")


def test_what_has_the_focus_and_what_is_unchanged_stays_as_it_is(browser: Browser, page: Page) -> None:
    page.show_version("3")
    opened(browser, page)
    browser.run("document.querySelector('[data-part=parts]').kept = true")
    browser.run(f'document.querySelector("{CARD} a").focus()')
    page.show_version("4")
    browser.run("renew()")
    assert "version 3 serves" in browser.text(CARD)
    browser.run("document.activeElement.blur()")
    browser.run("renew()")
    assert "version 4 serves" in browser.text(CARD)
    assert browser.run("document.querySelector('[data-part=parts]').kept")


@pytest.mark.parametrize(("width", "dark"), [(375, False), (1280, True)], ids=["phone, light", "desktop, dark"])
def test_it_fits_the_screen_and_axe_finds_nothing_serious(
    browser: Browser, page: Page, axe: str, width: int, dark: bool
) -> None:
    opened(browser, page, width=width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    browser.run(f"{axe}; 0")
    assert browser.run(SERIOUS) == []
    browser.run("document.querySelector('.spark').removeAttribute('aria-label')")
    assert [found for found in browser.run(SERIOUS) if "spark" in found], "axe finds a picture without a text"


def test_the_first_tab_skips_to_the_models(browser: Browser, page: Page) -> None:
    opened(browser, page)
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.run("document.activeElement.innerText") == "Skip to the models"
    browser.enter()
    browser.until("document.activeElement.id === 'models'")
