"""The first build of an image on a machine takes minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bentos.images.conftest import BUILD_SECONDS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS))
