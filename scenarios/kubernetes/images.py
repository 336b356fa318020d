"""Images of the cluster scenario: the champion of this machine's registry as a service, the shipper, the platform."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scenarios.harness.jobs import Jobs
from slipway.clients.mlflow.registry import Registry
from slipway.contracts.registry_names import CHAMPION
from slipway.errors import NotFound, ServiceError
from slipway.local import services
from slipway.settings import settings

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS = 1800


@dataclass(frozen=True)
class Images:
    """Names (`NAME:TAG`) of the images, and the version of the model in the serving image."""

    serving: str
    ship: str
    platform: str
    version: str

    def all(self) -> tuple[str, str, str]:
        """Return the three names."""
        return self.serving, self.ship, self.platform


def build(usecase: str, base: str, say: Callable[[str], None]) -> Images:
    """Package the champion, which is trained and promoted first if there is none, and build the other images.

    Raises:
        ServiceError: a build failed; its output is above.
    """
    options = ["--base", base] if base else []
    with services("mlflow", "prefect", say=say), Jobs(settings().logs) as jobs:
        if not _champion(usecase):
            say(f"no version of {usecase} is champion yet: training one, and promoting it")
            trained = jobs.start("train", usecase).result()
            jobs.start("promote", usecase, trained["version"]).result()
        packaged = jobs.start("package", usecase, "--containerize", *options).result()
    _run(["make", "images", *([f"BASE={base}"] if base else [])])
    release = _release()
    ship, platform = f"slipway-ship:{release}", f"slipway-platform:{release}"
    serving = packaged["image"]["tag"]
    return Images(serving, ship, platform, serving.partition(":")[2])


def load(images: Sequence[str], command: str) -> None:
    """Hand each image to the cluster by a command that takes its name, as `kind load docker-image`."""
    for image in images:
        _run([*shlex.split(command), image])


def broken(image: str) -> str:
    """Build a broken image without ONNX Runtime, whose service ends at once; returns its name."""
    name = f"{image.partition(':')[0]}:broken"
    library = "/opt/slipway/lib/python3.11/site-packages/onnxruntime"
    text = f"FROM {image}\nUSER 0\nRUN rm -r {library}\nUSER 10001:10001\n"
    _run(["docker", "build", "--quiet", "--tag", name, "-"], text)
    return name


def _champion(usecase: str) -> str | None:
    try:
        return Registry().model(usecase).aliases.get(CHAMPION)
    except NotFound:
        return None


def _release() -> str:
    from importlib.metadata import version

    return version("slipway")


def _run(command: Sequence[str], text: str | None = None) -> None:
    try:
        subprocess.run(command, input=text, text=True, cwd=ROOT, timeout=BUILD_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ServiceError(f"`{' '.join(command)}` failed: {error}") from None
