"""Runner of workflows on this machine: nektos/act without containers, with stand-ins for external actions."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.delivery import act_log, stand_ins
from scenarios.delivery.act_log import JobRun
from scenarios.delivery.repository import BRANCH, FULL_NAME, REF, UMASK, Push
from slipway.errors import ServiceError

RUN_SECONDS = 1500
_LABEL = re.compile(r"\bubuntu-[\w.]+")  # GitHub's runners, as `runs-on` names them
# What leads to this process's own state, or to the make that it runs under: a job has what its workflow passes on
_OWN = (
    *("SLIPWAY_", "MLFLOW_", "PREFECT_", "BENTOML_", "KERAS_HOME", "MPLCONFIGDIR"),
    *("VIRTUAL_ENV", "PYTHONPATH", "MAKE", "MFLAGS"),
)


Watch = Callable[[str], None]


def unwatched(job: str) -> None:
    """Watch nothing."""


@dataclass(frozen=True)
class WorkflowRun:
    """A run of a workflow for a push; `jobs` are those that ran, in order."""

    workflow: str
    push: Push
    jobs: list[JobRun]
    succeeded: bool
    seconds: float

    def job(self, name: str) -> JobRun | None:
        """Find the job whose id, or whose caller's id, is the name; None where it did not run."""
        return next((job for job in self.jobs if name in (job.id, *job.name.split("/"))), None)


@dataclass(frozen=True)
class Runner:
    """Runner with a repository's variables and secrets, and those of the stand-ins; it writes into `folder` alone."""

    folder: Path
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    stand_in_variables: Mapping[str, str]
    number: int  # of the run, by which GitHub tells a run from another

    def run(self, workflow: str, push: Push, checkout: Path, *options: str, watch: Watch = unwatched) -> WorkflowRun:
        """Run a workflow of the checkout for a push, and read its log; `watch` gets the id of each job that begins.

        Raises:
            ServiceError: act is not installed, or an action has no stand-in.
        """
        log = self.folder / f"{self.number}-{workflow}.jsonl"
        command = [*self._command(workflow, push, checkout), *options]
        started = time.monotonic()
        succeeded = _run(command, self.folder, log, watch)
        with log.open(errors="replace") as lines:
            jobs = act_log.read(lines)
        if not jobs:
            raise ServiceError(f"act ran no job of {workflow}: see {log}.")
        return WorkflowRun(workflow, push, jobs, succeeded, time.monotonic() - started)

    def _command(self, workflow: str, push: Push, checkout: Path) -> list[str]:
        event = self._write("event.json", push.event)
        named = {"GITHUB_REPOSITORY": FULL_NAME, "GITHUB_REF": REF, "GITHUB_RUN_ID": str(self.number)}
        return [
            _act(),
            "push",
            "--json",
            "--rm",
            "--action-offline-mode",
            "--no-cache-server",
            f"--defaultbranch={BRANCH}",
            f"--directory={checkout}",
            f"--workflows={checkout / '.github' / 'workflows' / workflow}.yml",
            f"--eventpath={event}",
            f"--action-cache-path={self.folder / 'act'}",
            f"--var-file={self._write('variables.yaml', self.variables)}",
            f"--secret-file={self._write('secrets.yaml', self.secrets)}",
            *(f"--env={name}={value}" for name, value in {**named, **self.stand_in_variables}.items()),
            *(f"--platform={label}=-self-hosted" for label in _labels(checkout)),
            *stand_ins.options(checkout / ".github"),
        ]

    def _write(self, name: str, content: Mapping[str, object]) -> Path:
        """Write a JSON document, which is YAML as well, for nobody else to read."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))
        return path


def _run(command: Sequence[str], folder: Path, log: Path, watch: Watch) -> bool:
    """Run act, whose output goes to the log, and tell whether every job succeeded.

    Raises:
        ServiceError: it did not end in time.
    """
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    environment = _environment()
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=folder, env=environment, umask=UMASK, **streams) as process,
        _ended_after(process, RUN_SECONDS) as ended,
    ):
        begun: set[str] = set()
        for line in process.stdout or ():
            output.write(line)
            if (job := act_log.job_of(line)) and job not in begun:
                begun.add(job)
                watch(job)
        succeeded = process.wait() == 0
    if ended.is_set():
        raise ServiceError(f"act did not end within {RUN_SECONDS} s: see {log}.")
    return succeeded


@contextmanager
def _ended_after(process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """Kill the process after a time, which sets the event, and where the block fails."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield late
    except BaseException:
        process.kill()
        raise
    finally:
        timer.cancel()


def _labels(checkout: Path) -> set[str]:
    files = (checkout / ".github" / "workflows").glob("*.y*ml")
    return {label for file in files for label in _LABEL.findall(file.read_text())}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}


def _act() -> str:
    program = shutil.which("act")
    if program is None:
        raise ServiceError("act is not installed: see https://nektosact.com/installation/.")
    return program
