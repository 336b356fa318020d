"""`python -m pipelines.deployments --pool` with a real Prefect server: the deployments after a worker's rollout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from slipway.errors import SettingsError
from slipway.settings import settings

TEMPLATE = Path(__file__).resolve().parents[3] / "infra" / "kubernetes" / "base" / "prefect" / "job-template.yaml"
IMAGE = "registry.example.com:5000/slipway-platform@sha256:" + 64 * "0"


@pytest.fixture(scope="module")
def deployments() -> ModuleType:
    """Import Prefect where it is needed: it would cost every run of pytest three seconds."""
    from pipelines import deployments

    return deployments


@pytest.fixture(scope="module")
def work_pool() -> ModuleType:
    from pipelines import work_pool

    return work_pool


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with temporary_settings({PREFECT_API_URL: None}), prefect_test_harness(server_startup_timeout=120):
        yield PREFECT_API_URL.value()


@pytest.fixture
def client(server):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def rollout(server, deployments, monkeypatch) -> Callable[..., None]:
    """`rollout()` registers what a worker's init container would; other options may be given."""
    monkeypatch.setenv("PREFECT_API_URL", server)
    settings.cache_clear()

    def run(*options: str, pool: str = "slipway", image: str = IMAGE) -> None:
        deployments.main(["--pool", pool, "--image", image, "--job-template", str(TEMPLATE), *options])

    return run


@pytest.fixture
def usecase(tmp_path, monkeypatch) -> Callable[..., None]:
    """`usecase("orders", train="0 3 * * 1")` writes one with that schedule, the only one there is."""
    monkeypatch.setenv("SLIPWAY_USECASES", str(tmp_path / "usecases"))

    def write(name: str, **schedule: str) -> None:
        folder = tmp_path / "usecases" / name
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "name": name,
            "owner": "shop@example.com",
            "task": "binary",
            "source": {"path": "orders.csv"},
            "features": [{"name": "amount", "kind": "number"}],
            "target": {"name": "returned", "classes": ["no", "yes"], "positive": "yes"},
            "schedule": schedule,
        }
        (folder / "usecase.yaml").write_text(yaml.safe_dump(content))
        settings.cache_clear()

    return write


def crons(deployment) -> list[str]:
    return [entry.schedule.cron for entry in deployment.schedules]


def test_every_use_case_is_trained_and_monitored_in_the_pool_from_the_workers_image(rollout, client):
    rollout()
    assert client.read_work_pool("slipway").type == "kubernetes"
    for name in ("credit_risk", "digits"):
        for flow in ("train", "monitor"):
            deployment = client.read_deployment_by_name(f"{flow}/{name}")
            assert deployment.work_pool_name == "slipway"
            assert deployment.job_variables["image"] == IMAGE
            assert deployment.parameters == {"usecase": name}
            assert deployment.entrypoint == f"pipelines.flows.{flow}"
            assert not deployment.pull_steps


def test_a_use_case_has_one_training_at_a_time_and_the_next_waits(rollout, client, usecase):
    usecase("waits")
    rollout()
    trained, monitored = (client.read_deployment_by_name(f"{flow}/waits") for flow in ("train", "monitor"))
    assert trained.global_concurrency_limit.limit == 1
    assert trained.concurrency_options is None  # Prefect's default, to wait
    assert monitored.global_concurrency_limit is None


def test_a_second_rollout_doubles_nothing(rollout, deployments, client, usecase):
    usecase("orders", train="0 3 * * 1")
    rollout()
    pool, before = client.read_work_pool("slipway"), client.read_deployment_by_name("train/orders")
    rollout()
    after = client.read_deployment_by_name("train/orders")
    assert client.read_work_pool("slipway").id == pool.id
    assert (after.id, crons(after)) == (before.id, ["0 3 * * 1"])
    assert after.global_concurrency_limit.id == before.global_concurrency_limit.id
    assert len(client.read_automations_by_name(deployments.SILENT)) == 1


def test_a_rollout_brings_its_image_and_the_schedules_of_its_use_cases(rollout, client, usecase):
    usecase("parcels", train="0 3 * * 1", monitor="0 * * * *")
    rollout(image="slipway-platform:0.1.0")
    usecase("parcels", train="0 4 * * *")
    rollout(image="slipway-platform:0.2.0")
    trained, monitored = (client.read_deployment_by_name(f"{flow}/parcels") for flow in ("train", "monitor"))
    assert trained.job_variables["image"] == monitored.job_variables["image"] == "slipway-platform:0.2.0"
    assert (crons(trained), crons(monitored)) == (["0 4 * * *"], [])


def test_a_deployment_paused_by_a_person_stays_paused(rollout, client, usecase):
    usecase("pauses", train="0 3 * * 1")
    rollout()
    client.pause_deployment(client.read_deployment_by_name("train/pauses").id)
    client.update_work_pool("slipway", _paused())
    rollout()
    assert client.read_deployment_by_name("train/pauses").paused
    assert client.read_work_pool("slipway").is_paused


def _paused():
    from prefect.client.schemas.actions import WorkPoolUpdate

    return WorkPoolUpdate(is_paused=True)


def test_a_clusters_own_defaults_are_in_the_pools_template(rollout, client, usecase, tmp_path):
    usecase("defaults")
    mounted = tmp_path / "variables"
    (mounted / "..data").mkdir(parents=True)  # as Kubernetes mounts a ConfigMap
    (mounted / "namespace").write_text("models")
    (mounted / "log_volume").write_text("{name: log, persistentVolumeClaim: {claimName: log}}")
    rollout("--job-variables", str(mounted))
    variables = client.read_work_pool("slipway").base_job_template["variables"]["properties"]
    assert variables["namespace"]["default"] == "models"
    assert variables["log_volume"]["default"] == {"name": "log", "persistentVolumeClaim": {"claimName": "log"}}


def test_a_run_of_another_image_or_command_is_refused(rollout, client, usecase):
    usecase("images")
    rollout(image="slipway-platform:0.1.0")
    rollout()
    deployment = client.read_deployment_by_name("monitor/images").id
    for variables in (
        {"image": "evil.example.com/miner:latest"},
        {"image": "slipway-platform:0.1.0"},
        {"env": {"LD_PRELOAD": "/tmp/a.so"}},
        {"env.LD_PRELOAD": "/tmp/a.so"},
        {"command": "sh"},
    ):
        assert "Validation failed" in refused(client, deployment, variables), variables
    run = client.create_flow_run_from_deployment(deployment, job_variables={"image": IMAGE, "memory_limit": "4Gi"})
    assert run.job_variables["memory_limit"] == "4Gi"


def test_a_deployment_that_was_given_another_image_starts_no_run(rollout, client, usecase):
    """Check the start: Prefect does not check the update of a deployment itself."""
    from prefect.client.schemas.actions import DeploymentUpdate

    usecase("altered")
    rollout()
    deployment = client.read_deployment_by_name("monitor/altered").id
    client.update_deployment(deployment, DeploymentUpdate(job_variables={"image": "evil.example.com/miner"}))
    assert "Validation failed for field 'image'" in refused(client, deployment, {})
    rollout()
    assert client.create_flow_run_from_deployment(deployment).deployment_id == deployment


def refused(client, deployment, variables: dict) -> str:
    """Return why Prefect's server refuses a flow run with these variables."""
    from prefect.exceptions import PrefectHTTPStatusError

    with pytest.raises(PrefectHTTPStatusError) as raised:
        client.create_flow_run_from_deployment(deployment, job_variables=variables)
    return raised.value.response.text


def test_a_pool_of_another_type_is_left_as_it_is(rollout, client):
    from prefect.client.schemas.actions import WorkPoolCreate

    client.create_work_pool(WorkPoolCreate(name="laptops", type="process"))
    with pytest.raises(SystemExit, match=r"'laptops' is of type 'process'.*`prefect work-pool delete laptops`"):
        rollout(pool="laptops")
    assert client.read_work_pool("laptops").type == "process"


def test_a_prefect_that_does_not_answer_is_named(rollout, deployments, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    settings.cache_clear()
    monkeypatch.setattr(deployments, "_WAIT_SECONDS", 0.0)
    with pytest.raises(SystemExit, match=r"Prefect does not respond at http://127\.0\.0\.1:9/api.*PREFECT_API_URL"):
        rollout()


@pytest.mark.slow
def test_a_pool_needs_an_image_and_a_template(deployments, capsys):
    with pytest.raises(SystemExit):
        deployments.main(["--pool", "slipway"])
    assert "--pool needs --image and --job-template" in capsys.readouterr().err


def test_a_variable_that_the_template_does_not_have_is_named(work_pool, tmp_path):
    (tmp_path / "memory_limits").write_text("8Gi")
    with pytest.raises(SettingsError, match=r"no variable 'memory_limits'.*memory_limit"):
        work_pool.job_template(TEMPLATE, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), ("a: [", "is not YAML"), ("a: 1", "needs `variables` and `job_conf")],
)
def test_a_file_that_is_no_template_is_refused(work_pool, tmp_path, content, message):
    path = tmp_path / "job-template.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=message):
        work_pool.job_template(path)
