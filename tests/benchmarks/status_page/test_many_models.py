"""The benchmark of docs/how-to/use-the-status-page.md: its page has everything, and its figures are kept."""

from __future__ import annotations

import asyncio
import re

from benchmarks.pages import BEGIN, END
from benchmarks.status_page.many_models import MODELS, MOST_BYTES, PAGE, board, requested, table


def test_the_page_with_50_models_is_small_enough() -> None:
    seconds, size = asyncio.run(requested(board(MODELS), 1))
    assert 100_000 < size <= MOST_BYTES
    assert table(MODELS, seconds, size)[-1].startswith("| size, 50 models |")


def test_the_page_of_the_docs_shows_figures_that_are_kept() -> None:
    lines = PAGE.read_text().split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    figures = [[int(number) for number in re.findall(r"(\d+) (?:ms|kB)", line)] for line in lines]
    assert [measured <= most for measured, most in figures] == [True, True]
