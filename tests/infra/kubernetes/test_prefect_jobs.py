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


def rendered(defaults: dict[str, Any] | None = None, **job_variables: Any) -> dict[str, Any]:
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
    deployment = DeploymentResponse(id=uuid.uuid4(), name="credit_risk", flow_id=flow.id)
    run = FlowRun(id=uuid.uuid4(), name="Wise Owl", flow_id=flow.id, deployment_id=deployment.id)
    pool = WorkPool(id=uuid.uuid4(), name="slipway", type="kubernetes", default_queue_id=uuid.uuid4())
    given = {"image": "slipway-platform:0.1.0"} | job_variables
    with temporary_settings({PREFECT_API_URL: "http://prefect:4200/api"}):
        configuration = asyncio.run(
            KubernetesWorkerJobConfiguration.from_template_and_values(template, given, client=object())
        )
        configuration.prepare_for_flow_run(run, deployment, flow, pool, "worker")
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
    }
    assert [volume["name"] for volume in spec["volumes"]] == ["scratch", "log", "tmp"]


def test_network_policies_know_it_by_a_label_that_prefect_leaves_alone():
    labels = rendered()["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "flow-run"
    assert labels["app.kubernetes.io/name"] == "credit_risk"  # Prefect sets this one, whatever the template has


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
