"""Fixtures for tests of manifests: each overlay is rendered once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.infra.kubernetes.manifests import FOLDER, ON_THEIR_OWN, OVERLAYS, Manifest, render


@pytest.fixture(scope="session")
def rendered(needs) -> Callable[[str], list[Manifest]]:
    """`rendered("local")` is all of the overlay, `rendered("smoke")` the folder of that name."""
    needs("kustomize")
    return cache(lambda name: render(FOLDER / "overlays" / name if name in OVERLAYS else FOLDER / name))


@pytest.fixture(params=OVERLAYS)
def overlay(request, rendered) -> list[Manifest]:
    return rendered(request.param)


@pytest.fixture(params=(*OVERLAYS, *ON_THEIR_OWN))
def manifests(request, rendered) -> list[Manifest]:
    """List everything that can be applied: overlays and the folders next to them."""
    return rendered(request.param)


@pytest.fixture(scope="session")
def with_components(needs, tmp_path_factory) -> Callable[..., list[Manifest]]:
    """`with_components("local", "gpu")` is the overlay with these components."""
    needs("kustomize")

    def build(overlay: str, *components: str) -> list[Manifest]:
        paths = [FOLDER / "components" / name for name in components]
        return render(write(tmp_path_factory.mktemp("components"), FOLDER / "overlays" / overlay, paths))

    return cache(build)


def write(folder: Path, resource: Path, components: list[Path]) -> Path:
    """Write a kustomization into `folder`: kustomize accepts relative paths only."""
    lines = ["resources:", f"  - {os.path.relpath(resource, folder)}", "components:"]
    lines += [f"  - {os.path.relpath(component, folder)}" for component in components]
    (folder / "kustomization.yaml").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def example(needs, tmp_path_factory) -> Callable[[str], list[Manifest]]:
    """`example("local-digits")` is the overlay that docs/how-to/deploy-on-kubernetes.md shows under this name."""
    needs("kustomize")
    page = (FOLDER.parents[1] / "docs" / "how-to" / "deploy-on-kubernetes.md").read_text()

    def build(name: str) -> list[Manifest]:
        start = f"# infra/kubernetes/overlays/{name}/kustomization.yaml\n"
        blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        (text,) = [block for block in blocks if block.startswith(start)]
        root = tmp_path_factory.mktemp("kubernetes")
        for part in ("base", "components", *(f"overlays/{overlay}" for overlay in OVERLAYS)):
            (root / part).parent.mkdir(exist_ok=True)
            (root / part).symlink_to(FOLDER / part)
        folder = root / "overlays" / name
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(text)
        return render(folder)

    return build


@pytest.fixture(scope="session")
def second(example) -> list[Manifest]:
    """Render the overlay of the docs for another use case."""
    return example("local-digits")
