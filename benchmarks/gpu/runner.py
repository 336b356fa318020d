"""Runner: the steps in stages, each within the time that is left; a step that dies costs no result of another one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu.check import NOT_HELD, NOT_RUN, Check, read
from benchmarks.gpu.environments import ROOT, Environment

_MOST_CHARACTERS = 500


class Step(NamedTuple):
    """A step, the environment that it runs in, and what the table calls it where it gives no result."""

    name: str
    environment: str
    title: str


STAGES: tuple[tuple[Step, ...], ...] = (  # the steps of a stage run side by side; those that measure time run alone
    (
        Step("packages", "serving", "locked packages for serving"),
        Step("packages", "training", "locked packages for training"),
    ),
    (
        Step("onnxruntime", "serving", "ONNX Runtime loads CUDA"),
        Step("tensorflow", "training", "TensorFlow finds the GPU"),
    ),
    (
        Step("train", "training", "training on the GPU"),
        Step("train_on_cpu", "training", "training on the CPU"),
        Step("networks", "training", "image networks of the serving benchmark"),
    ),
    (
        Step("scores", "training", "same scores on both devices"),
        Step("execution", "serving", "networks run on CUDA"),
        Step("answers", "serving", "same outputs on both devices"),
    ),
    (Step("batches", "serving", "batches chosen by measurement"),),
    (Step("metrics", "serving", "GPU metrics of a server"),),
)


class Runner:
    """`deadline` is on `time.monotonic`'s clock; `folder` is where steps leave files and logs."""

    def __init__(
        self, environments: Sequence[Environment], folder: Path, device: str, deadline: float, *, quick: bool
    ) -> None:
        self._environments = {one.name: one for one in environments}
        self._folder, self._device, self._deadline, self._quick = folder, device, deadline, quick

    def run(self, stages: Sequence[Sequence[Step]] = STAGES) -> Iterator[Check]:
        """Run the stages and yield their checks, stage by stage."""
        for stage in stages:
            started = [(step, self._start(step)) for step in stage]
            for step, process in started:
                yield from [process] if isinstance(process, Check) else self._finish(step, process)

    def _start(self, step: Step) -> subprocess.Popen[bytes] | Check:
        environment = self._environments[step.environment]
        if environment.problem:
            return Check(step.title, NOT_RUN, f"no environment for {environment.name}: {environment.problem}")
        if time.monotonic() >= self._deadline:
            return Check(step.title, NOT_RUN, "the time was over before it began")
        command = [str(environment.python), "-m", "benchmarks.gpu.step", step.name]
        command += [
            "--title",
            step.title,
            "--device",
            self._device,
            "--environment",
            environment.name,
            "--lock",
            environment.lock,
        ]
        command += ["--folder", str(self._folder), "--results", str(self._file(step, "results"))]
        command += ["--quick"] if self._quick else []
        with self._file(step, "log").open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _finish(self, step: Step, process: subprocess.Popen[bytes]) -> list[Check]:
        try:
            process.wait(max(self._deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            ending = [Check(step.title, NOT_RUN, "the time was over before it ended")]
        else:
            ending = [Check(step.title, NOT_HELD, self._reason(step, process))] if process.returncode else []
        finally:
            with suppress(ProcessLookupError):  # with what it started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return read(self._file(step, "results")) + ending

    def _reason(self, step: Step, process: subprocess.Popen[bytes]) -> str:
        """Return how a step ended that failed: by which signal, or the last line of its log."""
        if process.returncode < 0:
            return f"it was ended by {signal.Signals(-process.returncode).name}"
        lines = self._file(step, "log").read_text(errors="replace").strip().splitlines()
        return lines[-1][:_MOST_CHARACTERS] if lines else f"it ended with exit code {process.returncode}"

    def _file(self, step: Step, kind: str) -> Path:
        return self._folder / f"{step.environment}-{step.name}.{kind}"
