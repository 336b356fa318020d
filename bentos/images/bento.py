"""Bento: the serving files of a bundle, the code of the service and its locked dependencies, built by BentoML."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

import bentos
import slipway
from bentos.images import checkout
from bentos.images.source import Source
from slipway.contracts.bundle import manifest
from slipway.errors import SlipwayError
from slipway.settings import PREFIX
from slipway.texts import MARK_CHARACTERS, looks_marked, marked

LOCKS = {"cpu": "serving", "gpu": "serving-gpu"}
_TOOLS = "image-tools"
_SERVICE = "bentos.service:slipway"
_PREFIX = "slipway-serving-"
_LONGEST_NAME = 63 - len(_PREFIX)  # BentoML's names are those of DNS


@dataclass(frozen=True)
class Packaged:
    """A Bento in BentoML's store: `tag` is `slipway-serving-NAME:VERSION`, with `-gpu` where that is its device."""

    tag: str
    directory: Path
    device: str
    usecase: str
    version: str
    labels: dict[str, str]


def build_bento(source: Source, device: str) -> Packaged:
    """Build the Bento, replacing one with the same tag.

    Raises:
        SlipwayError: this is not a checkout, or BentoML fails.
    """
    name = bento_name(source.usecase)
    version = source.version + ("-gpu" if device == "gpu" else "")
    labels = {
        "slipway.model": source.usecase,
        "slipway.version": source.version,
        "slipway.bundle_sha256": source.digest,
        "slipway.contract": str(source.contract),
        "slipway.git_commit": checkout.commit(),
        "slipway.release": slipway.__version__,
    }
    with tempfile.TemporaryDirectory(prefix="slipway-bento-") as folder:
        context = Path(folder)
        _fill(context, source, device)
        configuration = {
            "service": _SERVICE,
            "name": name,
            "labels": labels,
            "include": ["*"],
            # locked and hashed already; BentoML's own lock would query a package index
            "python": {"requirements_txt": f"locks/{LOCKS[device]}.txt", "lock_packages": False},
        }
        (context / "bentofile.yaml").write_text(yaml.safe_dump(configuration))
        directory = _build(context, name, version, source.usecase)
    return Packaged(f"{name}:{version}", directory, device, source.usecase, source.version, labels)


def bento_name(usecase: str) -> str:
    """Return the name of the use case's Bento; one that BentoML does not allow is shortened, and has a digest.

    >>> bento_name("credit_risk"), bento_name("credit_")
    ('slipway-serving-credit-risk', 'slipway-serving-credit-1afc7b8e')
    """
    shown = usecase.replace("_", "-")
    if len(shown) > _LONGEST_NAME or shown.endswith("-") or looks_marked(shown):
        shown = marked(usecase, shown[: _LONGEST_NAME - MARK_CHARACTERS].rstrip("-"))
    return f"{_PREFIX}{shown}"


def _fill(context: Path, source: Source, device: str) -> None:
    """Fill the build context with what the image holds and what builds it, nothing else."""
    for package in (slipway, bentos):
        folder = Path(package.__file__).parent
        shutil.copytree(folder, context / folder.name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (context / "locks").mkdir()
    for name in (LOCKS[device], _TOOLS):
        shutil.copyfile(checkout.lock(name), context / "locks" / f"{name}.txt")
    into = context / "packaged" / source.usecase
    for name in (manifest.MANIFEST, *manifest.SERVER_FILES, manifest.SIGNATURE, "version.json"):
        if (source.directory / name).exists():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.directory / name, into / name)
    manifest.verify(into, source.digest, serving_only=True)


def _build(context: Path, name: str, version: str, usecase: str) -> Path:
    """Run BentoML in a process of its own: it imports the service, which reads its settings on import."""
    import bentoml
    from bentoml.exceptions import NotFound

    tag = f"{name}:{version}"
    with contextlib.suppress(NotFound):
        bentoml.bentos.delete(tag)
    env = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    env |= {"SLIPWAY_SERVE": usecase, "SLIPWAY_VAR": str(context / "var"), "PYTHONPATH": str(context)}
    argv = [sys.executable, "-m", "bentoml", "build", "--version", version, "--output", "tag", "."]
    ran = subprocess.run(argv, cwd=context, env=env, capture_output=True, text=True)
    if ran.returncode:
        raise SlipwayError(f"BentoML did not build {tag}:\n{(ran.stderr or ran.stdout).strip()}")
    return Path(bentoml.bentos.get(tag).path)
