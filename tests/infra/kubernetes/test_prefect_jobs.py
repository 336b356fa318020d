"""The Job of a flow run, rendered from the work pool's template by Prefect's own code, as its worker does."""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.kubernetes.cluster import kubectl

pytestmark = pytest.mark.slow

TEMPLATE = Path(__file__).resolve().parents[3] / "infra" / "kubernetes" / "base" / "prefect" / "job-template.yaml"
# Fields that Prefect's check of a template requires and the API server does not know: it drops them with a warning.
PREFECTS_OWN = ("parallelism", "completions")


def rendered(
    defaults: dict[str, Any] | None = None, deployment: str = "credit_risk", **job_variables: Any
) -> dict[str, Any]:
    """Render the Job of a worker: `defaults` are the cluster's, `job_variables` a deployment's."""
    from prefect.client.schemas.objects import Flow, FlowRun, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    from pipelines import work_pool

    template = work_pool.job_template(TEMPLATE)
    for name, value in ({"namespace": "slipway"} | (defaults or {})).items():
        template["variables"]["properties"][name]["default"] = value
    flow = Flow(id=uuid.uuid4(), name="train")
    deployed = DeploymentResponse(id=uuid.uuid4(), name=deployment, flow_id=flow.id)
    run = FlowRun(id=uuid.uuid4(), name="Wise Owl", flow_id=flow.id, deployment_id=deployed.id)
    pool = WorkPool(id=uuid.uuid4(), name="slipway", type="kubernetes", default_queue_id=uuid.uuid4())
    given = {"image": "slipway-platform:0.1.0"} | job_variables
    with temporary_settings({PREFECT_API_URL: "http://prefect:4200/api"}):
        configuration = asyncio.run(
            KubernetesWorkerJobConfiguration.from_template_and_values(template, given, client=object())
        )
        configuration.prepare_for_flow_run(run, deployed, flow, pool, "worker")
    return configuration.job_manifest


def pod(job: dict[str, Any]) -> dict[str, Any]:
    return job["spec"]["template"]["spec"]


def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(job)["containers"]
    return only


def env(job: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container(job)["env"]}


def test_a_flow_run_is_a_job_of_its_image_in_the_workers_namespace():
    job = rendered()
    assert job["metadata"]["namespace"] == "slipway"
    assert job["metadata"]["generateName"] == "wise-owl-"
    assert container(job)["image"] == "slipway-platform:0.1.0"
    assert container(job)["command"] + container(job)["args"] == ["env", "prefect", "flow-run", "execute"]
    assert "{{" not in json.dumps(job)


def test_kubernetes_never_tries_a_job_again_and_removes_it_after_a_day():
    spec = rendered()["spec"]
    assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (0, 86400)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_an_evicted_flow_run_hands_itself_back_and_a_killed_one_is_missed():
    found = env(rendered())
    assert found["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"
    assert found["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


def test_it_has_the_clusters_settings_and_its_secrets_by_reference_only():
    job = rendered()
    assert {"configMapRef": {"name": "slipway"}} in container(job)["envFrom"]
    secret = {"name": "slipway", "key": "mask-key", "optional": True}  # the flow reports that it is missing
    assert env(job)["SLIPWAY_MASK_KEY"] == {"secretKeyRef": secret}
    assert env(job)["SLIPWAY_CONTAINER"] == "true"
    assert env(job)["PREFECT_API_URL"] == "http://prefect:4200/api"


def test_the_worker_gives_it_prefects_login_by_reference(monkeypatch):
    """Prefect's worker puts the reference in place of the value when it creates the Job, if it is told of one."""
    from prefect_kubernetes.settings import KubernetesSettings

    documents = yaml.safe_load_all((TEMPLATE.parent / "worker.yaml").read_text())
    [worker] = [document for document in documents if document["kind"] == "Deployment"]
    [only] = pod(worker)["containers"]
    for entry in only["env"]:
        if entry["name"].startswith("PREFECT_INTEGRATIONS_KUBERNETES_WORKER"):
            monkeypatch.setenv(entry["name"], entry["value"])
    found = KubernetesSettings().worker
    assert (found.api_auth_string_secret_name, found.api_auth_string_secret_key) == ("slipway", "prefect-login")


def test_it_is_restricted_and_writes_to_its_volumes_only():
    job = rendered()
    spec, only = pod(job), container(job)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("flow-run", False)
    assert {mount["name"]: mount["mountPath"] for mount in only["volumeMounts"]} == {
        "scratch": "/var/lib/slipway",
        "log": "/var/lib/slipway-log",
        "tmp": "/tmp",
        "signing": "/etc/slipway-signing",
    }
    assert [volume["name"] for volume in spec["volumes"]] == ["scratch", "log", "tmp", "signing"]


def test_it_signs_where_the_cluster_has_a_key():
    job = rendered()
    reference = {"name": "signing", "key": "SLIPWAY_SIGNING_KEY", "optional": True}
    assert env(job)["SLIPWAY_SIGNING_KEY"] == {"configMapKeyRef": reference}
    (volume,) = [volume for volume in pod(job)["volumes"] if volume["name"] == "signing"]
    assert volume["secret"] == {"secretName": "slipway-signing", "optional": True, "defaultMode": 0o440}
    (mount,) = [mount for mount in container(job)["volumeMounts"] if mount["name"] == "signing"]
    assert mount["readOnly"] is True


def errors(**job_variables: Any) -> list[str]:
    """Validate a run's variables as Prefect's server does."""
    from prefect.utilities.schema_tools import validate

    from pipelines import work_pool

    template = work_pool.allow_only(work_pool.job_template(TEMPLATE), "slipway-platform:0.1.0")
    return [error.message for error in validate(job_variables, template["variables"], ignore_required=True)]


CLAIM = {"name": "log", "persistentVolumeClaim": {"claimName": "log"}}


@pytest.mark.parametrize(
    "variables",
    [
        {"image": "slipway-platform:0.1.0"},
        {"env": {"OMP_NUM_THREADS": "2", "TF_CPP_MIN_LOG_LEVEL": "0", "PREFECT_LOGGING_LEVEL": "DEBUG"}},
        {"labels": {"team": "risk", "cost-center": "7"}, "annotations": {"example.com/why": "a bad week"}},
        {"cpu_request": "500m", "memory_request": "2Gi", "memory_limit": "8Gi", "scratch_limit": "500Mi"},
        {"gpus": 1, "node_selector": {"nvidia.com/gpu.present": "true"}, "tolerations": [{"operator": "Exists"}]},
        {"log_volume": CLAIM},
        {"log_volume": {"name": "log", "emptyDir": {"sizeLimit": "1Gi"}}},
        {"finished_job_ttl": 600, "termination_grace_seconds": 120, "name": "audit", "namespace": "slipway"},
    ],
    ids=lambda variables: "-".join(variables),
)
def test_a_run_may_have_resources_and_labels_of_its_own(variables):
    assert errors(**variables) == []


@pytest.mark.parametrize(
    "variables",
    [
        {"image": "evil.example.com/miner"},
        {"image": "slipway-platform"},
        {"command": "sh -c id"},
        {"service_account_name": "prefect-worker"},
        {"env": {"LD_PRELOAD": "/tmp/a.so"}},
        {"env": {"PYTHONPATH": "/var/lib/slipway"}},
        {"env": {"MLFLOW_TRACKING_URI": "https://evil.example.com"}},
        {"env": {"SLIPWAY_SIGNING_KEY": ""}},
        {"env": {"HTTPS_PROXY": "http://evil.example.com"}},
        {"env": {"PREFECT_API_URL": "http://evil.example.com/api"}},
        {"env": {"CUDA_INJECTION64_PATH": "/tmp/a.so"}},
        {"env": {"TF_A": {"valueFrom": {"secretKeyRef": {"name": "slipway-databases", "key": "mlflow"}}}}},
        {"env": [{"name": "TF_A", "valueFrom": {"secretKeyRef": {"name": "slipway-databases", "key": "mlflow"}}}]},
        {"labels": {"app.kubernetes.io/name": "serving"}},
        {"labels": {"App.Kubernetes.io/name": "serving"}},
        {"labels": {"slipway/scrape": "true"}},
        {"log_volume": {"name": "log", "secret": {"secretName": "slipway-databases"}}},
        {"log_volume": {"name": "log", "hostPath": {"path": "/"}}},
        {"log_volume": {"name": "log", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}},
        {"log_volume": {"name": "log", "persistentVolumeClaim": {"claimName": "mlflow"}}},
        {"log_volume": {"name": "tmp", "emptyDir": {}}},
        {"memory_limit": "1Ti"},
        {"memory_limit": ""},
        {"cpu_request": "many"},
        {"gpus": 100},
        {"gpus": 0},
        {"termination_grace_seconds": 86400},
        {"finished_job_ttl": -1},
        {"image_pull_policy": "Sometimes"},
    ],
    ids=str,
)
def test_a_run_cannot_have_another_image_command_secret_volume_or_identity(variables):
    assert errors(**variables)


def test_the_clusters_own_defaults_are_such_values():
    from pipelines import work_pool

    template = work_pool.job_template(TEMPLATE)
    properties = template["variables"]["properties"]
    assert errors(**{name: entry["default"] for name, entry in properties.items() if "default" in entry}) == []


@pytest.mark.parametrize("deployment", ["credit_risk", "mlflow", "prefect", "serving", "watch", "prefect-worker"])
def test_its_pod_is_a_flow_run_whatever_the_deployment_is_called(deployment):
    """Check the labels by which Services and network policies know pods: Prefect adds others."""
    labels = rendered(deployment=deployment)["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == labels["app.kubernetes.io/component"] == "flow-run"
    assert "app.kubernetes.io/instance" not in labels
    assert labels["prefect.io/flow-run-name"] == "Wise-Owl"


@pytest.mark.parametrize("name", ["app.kubernetes.io/name", "app.kubernetes.io/component", "App.Kubernetes.io/name"])
def test_labels_of_a_run_are_its_jobs_and_change_no_identity(name):
    job = rendered(labels={name: "serving", "team": "risk"})
    assert "serving" not in job["spec"]["template"]["metadata"]["labels"].values()
    assert job["metadata"]["labels"]["app.kubernetes.io/name"] == "flow-run"
    assert job["metadata"]["labels"]["team"] == "risk"


def test_it_requests_the_measured_resources_and_no_gpu_by_default():
    resources = container(rendered())["resources"]
    assert resources["limits"].keys() == {"memory"}
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert "nodeSelector" not in pod(rendered())


def test_a_gpu_is_a_variable_of_the_cluster_or_of_one_deployment():
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    job = rendered({"tolerations": [toleration], "node_selector": {"nvidia.com/gpu.present": "true"}}, gpus=1)
    assert container(job)["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod(job)["tolerations"] == [toleration]
    assert pod(job)["nodeSelector"] == {"nvidia.com/gpu.present": "true"}


def test_the_log_is_the_volume_that_the_cluster_names():
    claim = {"name": "log", "persistentVolumeClaim": {"claimName": "log"}}
    assert claim in pod(rendered({"log_volume": claim}))["volumes"]


@pytest.fixture(scope="module")
def namespace(needs) -> Iterator[str]:
    """Create a namespace that accepts restricted pods only, and has the objects that a Job references."""
    needs("a cluster")
    name = f"slipway-jobs-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    made = kubectl("create", "-f", "-", given=manifest("Namespace", {"name": name, "labels": labels}))
    assert made.returncode == 0, made.stderr
    account = kubectl("create", "-f", "-", given=manifest("ServiceAccount", {"name": "flow-run", "namespace": name}))
    assert account.returncode == 0, account.stderr
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def manifest(kind: str, metadata: dict[str, Any], **content: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": kind, "metadata": metadata, **content})


@pytest.fixture(params=["plain", "gpu"])
def job(request) -> Callable[[str], dict[str, Any]]:
    """`job(namespace)` without the fields that only Prefect requires."""
    given = {"gpus": 1, "node_selector": {"gpu": "yes"}} if request.param == "gpu" else {}

    def build(namespace: str) -> dict[str, Any]:
        found = copy.deepcopy(rendered({"namespace": namespace}, **given))
        for field in PREFECTS_OWN:
            del pod(found)[field]
        return found

    return build


def test_the_api_server_accepts_the_job_with_strict_validation(namespace, job):
    answer = kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", given=json.dumps(job(namespace)))
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""  # nor a warning


def test_the_jobs_pod_is_admitted_where_only_restricted_ones_are(namespace, job):
    """Create the pod itself: of a Job's template the cluster only warns."""
    template = job(namespace)["spec"]["template"]
    given = manifest("Pod", {"generateName": "flow-run-", "namespace": namespace}, spec=template["spec"])
    answer = kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", given=given)
    assert answer.returncode == 0, answer.stderr


def test_a_pod_that_is_not_restricted_is_refused_there(namespace, job):
    spec = job(namespace)["spec"]["template"]["spec"] | {"hostNetwork": True}
    given = manifest("Pod", {"generateName": "flow-run-", "namespace": namespace}, spec=spec)
    assert "violates PodSecurity" in kubectl("create", "--dry-run=server", "-f", "-", given=given).stderr
