"""Stages of the rehearsal: what a developer pushes, the workflows that run, and what follows in the environments."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from scenarios.delivery import environments, pushed_changes
from scenarios.delivery.deployment_load import DeploymentLoad
from scenarios.delivery.repository import Push, Repository
from scenarios.delivery.runner import Runner, Watch, WorkflowRun, unwatched
from scenarios.delivery.servers import KeyPair, Registry, key_pair, registry
from scenarios.harness import release_checks
from scenarios.harness.checks import Check, Result
from scenarios.kubernetes.background_load import BackgroundLoad
from slipway.clients.mlflow.registry import Registry as ModelRegistry
from slipway.clients.prefect import AUTH_STRING
from slipway.errors import ServiceError
from slipway.local import Stack, claim_services
from slipway.settings import settings

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 240
EVERYTHING, USECASE = "Everything, for the first time", "Another seed for the use case"
DOCS, BROKEN, FOREIGN = "A sentence in the docs", "Another type of error responses", "Signed with another key"
CI_JOBS = ("lint", "images")  # of the workflow `ci`; all of them take an hour


@dataclass
class DeliveryResult(Result):
    """Checks of the rehearsal, and the workflow runs in order."""

    runs: list[WorkflowRun] = field(default_factory=list)


class Rehearsal:
    """Runner of the rehearsal in the state folder of the settings: `Rehearsal(base, short, say).run()`.

    It pushes the last commit of this checkout. The servers that it starts end with it; what is in the cluster
    stays, to be looked at. `base` is the base image, where it is not the Dockerfiles' own.
    """

    def __init__(self, base: str, short: bool, say: Callable[[str], None]) -> None:
        self.result = DeliveryResult()
        self._base = base
        self._short = short
        self._write = say
        self._started = time.monotonic()
        self._folder = settings().var.resolve()
        self._repository = Repository(self._folder)
        self._environments = environments.environments()
        self._images: Registry
        self._keys: KeyPair

    def run(self) -> DeliveryResult:
        """Run every stage in order.

        Raises:
            ServiceError: a program is missing, or a server does not start; the checks until then are in `result`.
        """
        self._prepare()
        with Stack(self._say) as stack:
            services = claim_services(stack, "rehearse", self._say)
            stack.start(self._images.process, services.mlflow(), services.prefect(), seconds=START_SECONDS)
            self._first_push()
            if not self._short:
                self._run_ci()
                self._push_usecase()
            self._push_docs()
            broken = self._push_broken_service()
            self._push_with_foreign_signature(broken)
        self.result.seconds = time.monotonic() - self._started
        self.result.finished = True
        return self.result

    def _prepare(self) -> None:
        """Make what is there before the first push: the repository, keys, and namespaces with their credentials."""
        self._say("Preparing a repository, a key pair and two namespaces")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._images = registry(self._folder.parent / "delivery-images", self._folder / "logs" / "registry.log")
        self._keys = key_pair(self._folder / "keys")
        self._repository.create(ROOT)
        for environment in self._environments:
            environment.prepare(self._folder / "keys")

    def _first_push(self) -> None:
        run = self._push(EVERYTHING, partial(environments.fit_to_this_machine, small_platform=self._short))
        self._check_succeeded(run, "changes", "train", "build", "sign", "staging", "production")
        if not run.succeeded:
            raise ServiceError(
                f"nothing to go on with: the first release failed, as {self._folder}/1-release.jsonl says."
            )
        self._check_model(run.push)
        self._check_deployed(run.push, {})

    def _run_ci(self) -> None:
        """Run jobs of the workflow `ci` for the last push; each of them calls verbs of `make`, as the others do."""
        for job in CI_JOBS:
            run = self._run("ci", self.result.runs[-1].push, self._keys, f"--job={job}")
            self._check_succeeded(run, job)

    def _push_usecase(self) -> None:
        before = self._deployed()
        with DeploymentLoad(self._environments, "usecase") as load:
            run = self._push(USECASE, pushed_changes.train_with_another_seed, watch=load.job_began)
        self._check_succeeded(run, "changes", "train", "build", "sign", "staging", "production")
        self._check_model(run.push)
        self._check_deployed(run.push, before)
        self._check_loads(run.push, load.outcomes)

    def _push_docs(self) -> None:
        before, images = self._deployed(), self._images.tags()
        run = self._push(DOCS, pushed_changes.edit_documentation)
        self._check_succeeded(run, "changes")
        built = self._images.tags() - images
        nothing = {job.id for job in run.jobs} == {"changes"} and not built and self._deployed() == before
        observed = f"jobs {', '.join(job.id for job in run.jobs)}; new images: {', '.join(built) or 'none'}"
        self._check(run.push, "nothing built", nothing, observed)

    def _push_broken_service(self) -> Push:
        before = self._deployed()
        with DeploymentLoad(self._environments, "broken") as load:
            run = self._push(BROKEN, pushed_changes.break_error_responses, watch=load.job_began)
        self._check_failed(run, "staging", "production")
        self._check_restored(run.push, before)
        self._check_loads(run.push, load.outcomes)
        return run.push

    def _push_with_foreign_signature(self, broken: Push) -> None:
        """Push what mends the service, from a repository whose private key is not the one that is trusted."""
        before = self._deployed()
        stranger = key_pair(self._folder / "other-keys")
        keys = replace(self._keys, private=stranger.private, password=stranger.password)
        run = self._push(FOREIGN, self._repository.revert(broken), keys=keys)
        self._check_failed(run, "staging", "production")
        self._check_restored(run.push, before)

    def _push(
        self, subject: str, change: Callable[[Path], None], *, keys: KeyPair | None = None, watch: Watch = unwatched
    ) -> WorkflowRun:
        """Push a change, and run the workflow `release` for what the hook reports."""
        push = self._repository.push(subject, change)
        self._say(f"Pushed {push.before[:7]}..{push.after[:7]}: {subject}")
        self._repository.checkout(push, self._checkout)
        return self._run("release", push, keys or self._keys, watch=watch)

    def _run(self, workflow: str, push: Push, keys: KeyPair, *options: str, watch: Watch = unwatched) -> WorkflowRun:
        """Run a workflow for the push that is checked out."""
        self._say(f"  the workflow {workflow}{f' ({options[0]})' if options else ''}")
        run = self._runner(keys).run(workflow, push, self._checkout, *options, watch=watch)
        self.result.runs.append(run)
        for job in run.jobs:
            self._say(f"  {job.id}: {job.result or 'not ended'}, {job.seconds:.0f} s")
        return run

    def _runner(self, keys: KeyPair) -> Runner:
        """Make a runner with the variables and secrets that the repository has on GitHub."""
        variables = {
            "REGISTRY": self._images.host,
            "MLFLOW_TRACKING_URI": os.environ["MLFLOW_TRACKING_URI"],
            "PREFECT_API_URL": os.environ["PREFECT_API_URL"],
            "COSIGN_PUBLIC_KEY": keys.public,
            **({"BASE_IMAGE": self._base} if self._base else {}),
        }
        secrets = {
            "COSIGN_PRIVATE_KEY": keys.private,
            "COSIGN_PASSWORD": keys.password,
            AUTH_STRING: os.environ[AUTH_STRING],
            "SLIPWAY_MASK_KEY": settings().mask_secret().decode(),
        }
        stand_ins = {
            "STAND_IN_VENV": str(ROOT / ".venv"),
            "STAND_IN_ARTIFACTS": str(self._folder / "artifacts"),
        }
        return Runner(self._folder, variables, secrets, stand_ins, len(self.result.runs) + 1)

    def _check_succeeded(self, run: WorkflowRun, *jobs: str) -> None:
        """Check that the run succeeded, and that these jobs were part of it."""
        found = {name: run.job(name) for name in jobs}
        held = run.succeeded and all(job and job.result == "success" for job in found.values())
        wrong = [f"{job.id}: {job.reason}" for job in run.jobs if job.result != "success"]
        missing = [name for name, job in found.items() if job is None]
        observed = "; ".join([*wrong, *(f"{name} did not run" for name in missing)])
        ran = f"{', '.join(job.id for job in run.jobs)} in {run.seconds:.0f} s"
        self._check(run.push, f"{run.workflow} succeeded", held, observed or ran)

    def _check_failed(self, run: WorkflowRun, failed: str, prevented: str) -> None:
        """Check that one job failed and says why, and that a later one did not run."""
        job = run.job(failed)
        held = not run.succeeded and job is not None and job.result == "failure" and bool(job.reason)
        held &= [one.id for one in run.jobs if one.result != "success"] == [failed]
        self._check(run.push, f"{failed} failed", held, job.reason if job else f"{failed} did not run")
        later = run.job(prevented)
        observed = f"it ended with {later.result}" if later else "it did not run"
        self._check(run.push, f"no {prevented}", later is None, observed)

    def _check_model(self, push: Push) -> None:
        _, challenger = release_checks.check_challenger(ModelRegistry(), self._usecase)
        self._check(push, challenger.what, challenger.held, challenger.observed)

    def _check_deployed(self, push: Push, before: dict[str, str]) -> None:
        """Check that both environments run one new image, by its digest."""
        for environment, image in zip(self._environments, self._deployed().values(), strict=True):
            running = environment.running()
            new = image != before.get(environment.name) and running == {image} and "@sha256:" in image
            self._check(push, f"{environment.name} runs", new, f"{image}, {len(running)} image in its ready pods")

    def _check_restored(self, push: Push, before: dict[str, str]) -> None:
        """Check that both environments run what they ran before."""
        for environment in self._environments:
            was, running = before[environment.name], environment.running()
            held = environment.serving_image() == was and running == {was}
            self._check(push, f"{environment.name} as before", held, f"{', '.join(running)}; before: {was}")

    def _check_loads(self, push: Push, loads: Sequence[BackgroundLoad]) -> None:
        if not loads:
            self._check(push, "load", False, "nothing was deployed, so no request was sent")
        for environment, load in zip(self._environments, loads, strict=False):
            held = load.sent > 0 and not load.failed
            self._check(push, f"load on {environment.name}", held, load.summary())

    def _deployed(self) -> dict[str, str]:
        return {environment.name: environment.serving_image() for environment in self._environments}

    @property
    def _checkout(self) -> Path:
        return self._folder / "checkout"

    @property
    def _usecase(self) -> str:
        return environments.usecase(self._checkout)

    def _check(self, push: Push, what: str, held: bool, observed: str) -> None:
        self.result.checks.append(Check(push.subject, what, held, observed))
        self._say(f"  {'ok' if held else 'FAIL'}: {what}: {observed}")

    def _say(self, line: str) -> None:
        self._write(f"[{time.monotonic() - self._started:4.0f} s] {line}")
