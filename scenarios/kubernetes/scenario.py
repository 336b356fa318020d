"""Stages of the cluster scenario in order: install, predict, train, promote, disrupt, monitor, compare the log."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from scenarios.harness.checks import Check
from scenarios.kubernetes import disruptions, images, pods
from scenarios.kubernetes.background_load import BackgroundLoad, under_load
from scenarios.kubernetes.cluster import Cluster, wait_until
from scenarios.kubernetes.installation import SERVICE_PORT, SERVING, USECASE, Installation
from scenarios.kubernetes.mlflow_users import ADMINISTRATOR, PROMOTER, TRAINING
from slipway.clients import http
from slipway.clients.mlflow.registry import Registry
from slipway.clients.prefect import PrefectClient
from slipway.contracts.registry_names import CHALLENGER, CHAMPION, serving_tag
from slipway.errors import RegistryError, ServiceError

MLFLOW_PORT, PREFECT_PORT, STATUS_PORT = 5000, 4200, 8080
FIRST_PREDICTION_SECONDS = 180
SWAP_SECONDS = 10
SEED = "42"  # another than the packaged version's, so that it is another model
START_SECONDS = 300
SHIPPED_SECONDS = 90
BROKEN_CONNECTIONS = ("IncompleteReadError", "ConnectionResetError", "BrokenPipeError")


class ClusterScenario:
    """Runner of the scenario: `ClusterScenario(cluster, say).run(images, broken)`. What it installs stays."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]) -> None:
        self._started = time.monotonic()
        self._id = secrets.token_hex(3)  # the log may have requests of an earlier run
        self._cluster = cluster
        self._write = say
        self._loads: list[BackgroundLoad] = []
        self._predicted = ""
        self.checks: list[Check] = []

    def run(self, built: images.Images, broken: str) -> None:
        """Run every stage in order.

        Raises:
            ServiceError: a stage failed; the checks until then are in `checks`.
        """
        installation = Installation(self._cluster, built)
        self._say("Applying the overlay `local` to the empty cluster")
        self._first_prediction(installation)
        self._say("Training as a Job of the cluster, through Prefect")
        version = self._train(installation)
        self._say("Moving `champion` without a login, and without the role")
        self._refuse(installation, version)
        self._say("Promoting that version under load")
        self._promote(installation, version)
        for what, disruption, allowed in (
            ("rolling update", disruptions.restart_rollout, ()),
            ("pods evicted", disruptions.evict_each, ()),
            ("bad image", lambda target: disruptions.roll_out_bad_image(target, broken), ()),
            ("no such gpu", disruptions.request_gpu, ()),
            ("pod killed", disruptions.kill_one, BROKEN_CONNECTIONS),
        ):
            self._say(f"Under load: {what}")
            self._disrupt(installation, what, disruption, allowed)
        self._say("The smoke test, as a Job")
        self._check("smoke", True, installation.smoke())
        self._say("Monitoring, as a Job of the cluster, and the state that the reconciler reports")
        self._monitor(installation, version)
        self._say("Comparing the log with the responses")
        self._compare(installation)
        self._trace(installation)

    def _first_prediction(self, installation: Installation) -> None:
        started = time.monotonic()
        installation.apply()
        wait_until("a pod is ready", installation.serving_pods, FIRST_PREDICTION_SECONDS)
        with self._cluster.forward(f"service/{SERVING}", SERVICE_PORT) as url:
            model = _request(installation, f"{url}/v1/models/{USECASE}")
            example = _request(installation, f"{url}/v1/models/{USECASE}/schema")["examples"][0]
            _request(installation, f"{url}/v1/models/{USECASE}/predict", {"instances": [example]})
        seconds = time.monotonic() - started
        observed = f"{seconds:.0f} s to the first prediction, of version {model['version']} ({model['source']})"
        if model["source"] == "pointer":
            observed += (
                ": the registry of an earlier installation is there. Remove /var/lib/slipway-volumes on the node"
            )
        packaged = model["source"] == "packaged" and model["version"] == installation.images.version
        self._check("first prediction", packaged and seconds <= FIRST_PREDICTION_SECONDS, observed)
        self._cluster.wait_for_rollout(SERVING, START_SECONDS)

    def _train(self, installation: Installation) -> str:
        for name in ("mlflow", "prefect", "prefect-worker", "watch"):
            self._cluster.wait_for_rollout(name, START_SECONDS)
        self._flow_run("training", f"train/{USECASE}", {"overrides": {"seed": SEED}})
        with self._registry(installation) as registry:
            version = registry.model(USECASE).aliases.get(CHALLENGER)
        if version is None:
            raise ServiceError("the training registered no version that passed its gates.")
        return version

    def _monitor(self, installation: Installation, version: str) -> None:
        """Monitor a window of the load, which repeats one row and so must be reported as drift."""
        self._flow_run("monitoring", f"monitor/{USECASE}", {})
        drift = re.compile(rf'^slipway_drift_detected{{.*usecase="{USECASE}".*}} 1', re.MULTILINE)
        with self._cluster.forward("service/watch", STATUS_PORT) as url:
            wait_until("watch shows the drift", lambda: drift.search(_metrics(url)), SHIPPED_SECONDS)
            missing = re.findall(rf'^slipway_report_missing{{.*usecase="{USECASE}".*}} 1', _metrics(url), re.MULTILINE)
        self._check("verdict", True, "watch shows drift of the load, which repeats one row")
        self._check("reports", not missing, ", ".join(missing) or "none is missing")
        with self._registry(installation) as registry:
            tag = registry.version(USECASE, version).tags.get(serving_tag("local"), "no tag")
        self._check("reconciler", tag.startswith("serving"), f"version {version}: {tag}")

    def _flow_run(self, what: str, deployment: str, parameters: dict[str, Any]) -> None:
        """Run a deployment as a flow and wait for its end.

        Raises:
            ServiceError: the flow run failed.
        """
        before = self._jobs()
        with self._cluster.forward("service/prefect", PREFECT_PORT) as url:
            prefect = PrefectClient(f"{url}/api")
            run = prefect.start(deployment, parameters)
            ended = prefect.wait({USECASE: run}, self._say)[USECASE]
        if not ended.completed:
            raise ServiceError(f"{deployment} ended {ended.state}: {ended.message}")
        jobs = self._jobs() - before
        self._check(what, bool(jobs), f"completed in {ended.seconds:.0f} s, as the Job {', '.join(jobs) or '(none)'}")

    def _jobs(self) -> set[str]:
        return {job["metadata"]["name"] for job in self._cluster.get("jobs")["items"]}

    def _refuse(self, installation: Installation, version: str) -> None:
        """Check that neither a stranger nor a training can move `champion`, and make a person who can."""
        for what, user, reason in (
            ("no login", None, "answered 401"),
            ("no role", TRAINING, f"{TRAINING} may not move 'champion' of {USECASE}"),
        ):
            with self._registry(installation, user) as registry:
                try:
                    registry.set_alias(USECASE, CHAMPION, version)
                    observed = "it was moved"
                except RegistryError as error:
                    observed = str(error)
            self._check(what, reason in observed, observed)
        with self._cluster.forward("service/mlflow", MLFLOW_PORT, MLFLOW_PORT) as url:
            installation.mlflow_users.add_promoter(url)

    def _promote(self, installation: Installation, version: str) -> None:
        with (
            self._under_load(installation, "promotion") as load,
            self._registry(installation, PROMOTER) as registry,
            ExitStack() as stack,
        ):
            urls = [
                stack.enter_context(self._cluster.forward(f"pod/{name}", SERVICE_PORT))
                for name in installation.pod_names()
            ]
            digest = registry.version(USECASE, version).digest
            registry.set_alias(USECASE, CHAMPION, version)
            moved = time.monotonic()
            wait_until(
                f"every pod serves version {version}",
                lambda: all(self._serves(installation, url, digest) for url in urls),
                SWAP_SECONDS * 6,
            )
            seconds = time.monotonic() - moved
            example = _request(installation, f"{urls[0]}/v1/models/{USECASE}/schema")["examples"][0]
            answer = _request(installation, f"{urls[0]}/v1/models/{USECASE}/predict", {"instances": [example]})
            self._predicted = answer["predictions"][0]["id"]
        self._check("promotion", seconds <= SWAP_SECONDS, f"{seconds:.1f} s until all of {len(urls)} pods serve it")
        self._check_load(load, "under the promotion", ())

    def _disrupt(
        self,
        installation: Installation,
        what: str,
        disruption: Callable[[Installation], str],
        allowed: tuple[str, ...],
    ) -> None:
        wait_until("every pod is ready", lambda: disruptions.all_ready(installation), START_SECONDS)
        with self._under_load(installation, what.replace(" ", "-")) as load:
            self._say(f"  {disruption(installation)}")
        self._check_load(load, what, allowed)

    def _under_load(self, installation: Installation, prefix: str) -> AbstractContextManager[BackgroundLoad]:
        return under_load(self._cluster, installation.images.serving, f"{prefix}-{self._id}")

    def _check_load(self, load: BackgroundLoad, what: str, allowed: tuple[str, ...]) -> None:
        """Check that no request failed in another way than is allowed."""
        self._loads.append(load)
        wrong = [reason for reason in load.failed.values() if not reason.startswith(allowed or "\0")]
        self._check(what, not wrong and load.sent > 0, load.summary())

    def _compare(self, installation: Installation) -> None:
        """Check that the log has every answered request once, as soon as open segments are shipped."""
        answered = {load.prefix: load.answered for load in self._loads}
        deadline = time.monotonic() + SHIPPED_SECONDS
        while True:
            logged = self._logged(installation)
            missing = sum(len(some - logged.get(prefix, {}).keys()) for prefix, some in answered.items())
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(5)
        doubled = sum(count > 1 for prefix in answered for count in logged.get(prefix, {}).values())
        total = sum(map(len, answered.values()))
        observed = f"{total} responses, {missing} not in the log, {doubled} twice"
        self._check("events", not missing and not doubled, observed)

    def _trace(self, installation: Installation) -> None:
        """Check that the history of a prediction names who moved `champion`."""
        command = ("exec", "deployment/watch", "--", "slipway", "history", USECASE, "--id", self._predicted, "--json")
        found = json.loads(self._cluster.run(*command))
        self._check("promoter", found["promoter"] == PROMOTER, f"history --id names {found['promoter']}")

    def _logged(self, installation: Installation) -> dict[str, dict[int, int]]:
        name = "trial-logged"
        self._cluster.run("delete", "pod", name, "--ignore-not-found")
        volumes = {
            "log": ("/var/lib/slipway-log", {"persistentVolumeClaim": {"claimName": "log"}}),
            "var": ("/var/lib/slipway", {"emptyDir": {"sizeLimit": "1Gi"}}),
        }
        argv = ["/trial/log_query.py", USECASE]
        self._cluster.apply(pods.scripts(), pods.pod(name, "trial", installation.images.platform, argv, volumes))
        found = pods.result(self._cluster, name, START_SECONDS)
        return {prefix: {int(number): count for number, count in some.items()} for prefix, some in found.items()}

    def _serves(self, installation: Installation, url: str, digest: str | None) -> bool:
        """Tell by the digest whether every worker serves the bundle: the packaged version may have the same number."""
        workers = _request(installation, f"{url}/v1/models/{USECASE}")["workers"]
        return bool(workers) and all(worker["serving"] == digest for worker in workers)

    @contextmanager
    def _registry(self, installation: Installation, user: str | None = ADMINISTRATOR) -> Iterator[Registry]:
        """Provide the registry to a user, under the service's own port, which MLflow checks in the Host header."""
        with (
            self._cluster.forward("service/mlflow", MLFLOW_PORT, MLFLOW_PORT) as url,
            installation.mlflow_users.logged_in(user),
        ):
            yield Registry(url)

    def _check(self, what: str, held: bool, observed: str) -> None:
        self.checks.append(Check("cluster", what, held, observed))
        self._say(f"  {'ok' if held else 'FAIL'}: {what}: {observed}")

    def _say(self, line: str) -> None:
        self._write(f"[{time.monotonic() - self._started:4.0f} s] {line}")


def _request(installation: Installation, url: str, document: Any = None) -> Any:
    """Send a request and return the document of the response.

    Raises:
        ServiceError: the response is not 200, or there is none.
    """
    method = "GET" if document is None else "POST"
    headers = {"Authorization": f"Bearer {installation.key}"}
    try:
        response = http.request(method, url, document=document, headers=headers)
    except ServiceError as error:
        raise ServiceError(f"{url} does not respond: {error}") from None
    if response.status != 200:
        raise ServiceError(f"{url} answered {response.status}: {response.content[:300].decode(errors='replace')}")
    return response.read(dict)


def _metrics(url: str) -> str:
    try:
        return http.request("GET", f"{url}/metrics").content.decode()
    except ServiceError as error:
        raise ServiceError(f"{url}/metrics does not respond: {error}") from None
