"""`deploy` against a cluster's double: what is applied, what is put back, and what nothing is done for."""

from __future__ import annotations

import json

import pytest

from infra.delivery.deployment import cluster, lock, record
from infra.delivery.release import write_release
from slipway.errors import ServiceError
from tests.infra.delivery.conftest import COMMIT, a_release, digest

NAMESPACE = "slipway"
SECRETS = {"slipway": ["api-key", "prefect-login"]}
OVERLAY = """
apiVersion: v1
kind: Namespace
metadata: {name: slipway}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: slipway}
data: {a: b}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: serving, namespace: slipway}
spec:
  template:
    spec:
      containers:
        - {name: service, image: "slipway-serving-credit-risk:1"}
        - {name: ship, image: "slipway-ship:0.1.0"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: prefect-worker, namespace: slipway}
spec:
  template:
    spec:
      initContainers:
        - name: deployments
          image: slipway-platform:0.1.0
          env:
            - {name: IMAGE, value: slipway-platform:0.1.0}
            - name: LOGIN
              valueFrom: {secretKeyRef: {name: slipway, key: prefect-login}}
      containers:
        - {name: worker, image: "slipway-platform:0.1.0"}
"""
pytestmark = pytest.mark.slow


def serving(letter):
    return f"registry.example.com/slipway-serving-credit-risk@{digest(letter)}"


class World:
    """A cluster, an overlay and releases, which cosign has signed."""

    def __init__(self, folder, programs, kubectl, deliver, monkeypatch):
        self.folder, self.programs, self._deliver = folder, programs, deliver
        self.overlay = folder / "overlay"
        self.overlay.mkdir()
        (self.overlay / "all.yaml").write_text(OVERLAY)
        (self.overlay / "kustomization.yaml").write_text("resources: [all.yaml]\n")
        self.key = folder / "cosign.pub"
        self.key.write_text("a public key")
        monkeypatch.setattr(cluster, "STALE_SECONDS", 0.1)
        self.state = programs.kubectl(kubectl, namespaces=[NAMESPACE], secrets=SECRETS)
        self.sign(COMMIT)

    def sign(self, commit):
        """Let cosign verify everything, as built from the commit."""
        self.programs.cosign(commit=commit, digests=map(digest, "abc0"))

    def set(self, **state):
        self.state.write_text(json.dumps(json.loads(self.state.read_text()) | state))

    def deploy(self, letter, *options):
        path = self.folder / f"{letter}.json"
        write_release(a_release(letter), path)
        arguments = ("staging", path, "--overlay", self.overlay, "--key", self.key, *options)
        return self._deliver("deploy", *arguments)

    @property
    def objects(self):
        return json.loads(self.state.read_text())["objects"]

    @property
    def running(self):
        """The image of the service."""
        return self.objects["deployment/slipway/serving"]["spec"]["template"]["spec"]["containers"][0]["image"]

    @property
    def changes(self):
        """The calls that change the cluster."""
        return [call for call in self.programs.calls if {"apply", "create", "replace", "delete"} & set(call.split())]


@pytest.fixture
def world(tmp_path, programs, needs, deliver, monkeypatch):
    return World(tmp_path, programs, needs("kubectl"), deliver, monkeypatch)


def test_a_release_is_deployed_by_its_digests_and_recorded(world):
    code, out, err = world.deploy("a")
    assert code == 0, err
    assert world.running == serving("a") and serving("a") in out
    worker = world.objects["deployment/slipway/prefect-worker"]["spec"]["template"]["spec"]["initContainers"][0]
    assert worker["env"][0]["value"] == worker["image"] == f"registry.example.com/slipway-platform@{digest('a')}"
    assert json.loads(world.objects[f"configmap/slipway/{record.NAME}"]["data"]["images"])[
        "slipway-serving-credit-risk"
    ] == serving("a")
    assert f"configmap/slipway/{lock.NAME}" not in world.objects


def test_a_release_that_fails_its_smoke_test_is_taken_back(world):
    world.deploy("a")
    world.set(failing=[serving("b")])
    code, out, err = world.deploy("b")
    assert (code, out, world.running) == (1, "", serving("a"))
    assert "error: the smoke test failed: loans latency 73 ms. The images before are back: " in err
    assert serving("a") in err and f"configmap/slipway/{lock.NAME}" not in world.objects


def test_a_release_whose_pods_do_not_become_ready_is_taken_back(world):
    world.deploy("a")
    world.set(stuck=[serving("b")])
    code, _, err = world.deploy("b")
    assert (code, world.running) == (1, serving("a"))
    assert "exceeded its progress deadline" in err
    assert "Its container service waits: ImagePullBackOff (Back-off pulling image)." in err


def test_a_deadline_that_the_rollout_before_exceeded_is_not_taken_for_this_ones(programs, tmp_path):
    """Kubernetes reports it until it has seen to the new rollout."""
    seen = tmp_path / "seen"
    programs.script("kubectl", f'[ -e {seen} ] || {{ touch {seen}; echo "{cluster.EXCEEDED}" >&2; exit 1; }}')
    cluster.Cluster("slipway").wait_for_rollout("serving", 60)
    assert len(programs.calls) == 2


def test_a_rollout_that_exceeds_its_deadline_fails(programs, monkeypatch):
    monkeypatch.setattr(cluster, "STALE_SECONDS", 0.1)
    programs.script("kubectl", f'echo "{cluster.EXCEEDED}" >&2; exit 1')
    with pytest.raises(ServiceError, match=cluster.EXCEEDED):
        cluster.Cluster("slipway").wait_for_rollout("serving", 60)


def test_after_a_failed_release_the_next_one_is_deployed(world):
    world.deploy("a")
    world.set(failing=[serving("b")])
    world.deploy("b")
    assert world.deploy("c")[0] == 0 and world.running == serving("c")


def test_what_a_dead_runner_left_is_not_taken_for_what_was_before(world):
    """It had applied `b`, which nobody has tested; `a` is what passed last."""
    world.deploy("a")
    pod = world.objects["deployment/slipway/serving"]
    pod["spec"]["template"]["spec"]["containers"][0]["image"] = serving("b")
    world.set(objects=world.objects | {"deployment/slipway/serving": pod}, failing=[serving("c")])
    world.deploy("c")
    assert world.running == serving("a")


def test_without_a_record_the_images_that_run_are_those_before(world):
    world.deploy("a")
    world.set(objects={at: found for at, found in world.objects.items() if not at.startswith("configmap/")})
    world.set(failing=[serving("b")])
    code, _, err = world.deploy("b")
    assert (code, world.running) == (1, serving("a")) and serving("a") in err


def test_the_digests_of_an_overlay_that_was_never_deployed_are_no_images_before(world):
    world.deploy("0")
    world.set(objects={at: found for at, found in world.objects.items() if not at.startswith("configmap/")})
    world.set(failing=[serving("b")])
    assert "Nothing was deployed before" in world.deploy("b")[2]


def test_the_same_release_can_be_deployed_again(world):
    assert [world.deploy("a")[0] for _ in range(2)] == [0, 0]
    assert world.running == serving("a")


def test_nothing_is_deployed_whose_signature_is_wrong(world):
    world.deploy("a")
    before = world.changes
    world.programs.script("cosign", "echo 'Error: no matching signatures' >&2; exit 10")
    code, _, err = world.deploy("b")
    assert (code, world.running, world.changes) == (1, serving("a"), before)
    assert f"has no valid signature of the key {world.key}" in err and "no matching signatures" in err


def test_nothing_is_deployed_that_was_built_from_another_commit(world):
    world.sign("f" * 40)
    code, _, err = world.deploy("a")
    assert (code, world.changes) == (1, [])
    assert f"was built from the commit {'f' * 40}" in err and COMMIT in err


def test_a_second_deployment_waits_for_the_first_and_says_so(world):
    world.deploy("a")
    data = {"holder": "example/slipway run 7", "expires": "2999-01-01T00:00:00Z"}
    held = {"kind": "ConfigMap", "metadata": {"name": lock.NAME, "resourceVersion": "1"}, "data": data}
    world.set(objects=world.objects | {f"configmap/slipway/{lock.NAME}": held})
    code, _, err = world.deploy("b", "--wait", "0")
    assert (code, world.running) == (1, serving("a"))
    assert "example/slipway run 7 is deploying to the namespace slipway" in err


@pytest.mark.parametrize("secrets", [{}, {"slipway": ["api-key"]}])
def test_a_missing_secret_is_named_before_anything_is_applied(world, secrets):
    world.set(secrets=secrets)
    code, _, err = world.deploy("a")
    assert (code, world.changes) == (1, [])
    assert "the Secret slipway of the namespace slipway lacks" in err and "prefect-login" in err


def test_no_value_of_a_secret_is_read(world):
    world.deploy("a")
    reads = [call for call in world.programs.calls if " secret " in call]
    assert reads and all("{{$key}}" in call and "{{$_}}" not in call for call in reads)


def test_a_namespace_that_is_missing_is_named(world):
    world.set(namespaces=[])
    code, _, err = world.deploy("a")
    assert (code, world.changes) == (1, []) and "has no namespace slipway: create it" in err


def test_what_is_of_the_whole_cluster_is_applied_only_at_an_installation(world):
    world.deploy("a")
    assert not [at for at in world.objects if at.startswith("namespace/")]
    world.deploy("a", "--install")
    assert [at for at in world.objects if at.startswith("namespace/")]


def test_two_environments_can_be_two_namespaces_of_one_overlay(world):
    world.set(namespaces=["one", "two"])
    for namespace, letter in (("one", "a"), ("two", "b")):
        assert world.deploy(letter, "--namespace", namespace)[0] == 0
    found = {
        at: o["spec"]["template"]["spec"]["containers"][0]["image"]
        for at, o in world.objects.items()
        if "serving" in at
    }
    assert found == {"deployment/one/serving": serving("a"), "deployment/two/serving": serving("b")}


def test_a_release_without_an_image_of_the_overlay_is_refused(world):
    (world.overlay / "all.yaml").write_text(OVERLAY.replace("credit-risk", "digits"))
    code, _, err = world.deploy("a")
    assert (code, world.changes) == (1, []) and "has no image slipway-serving-digits" in err


def test_an_environment_without_an_overlay_is_refused_with_those_that_there_are(deliver, release_file, world):
    code, _, err = deliver("deploy", "stagign", release_file, "--key", world.key)
    assert code == 1 and "Did you mean 'staging'? There are local, production, staging" in err


def test_the_summary_of_the_job_says_what_runs_now_what_ran_before_and_what_failed(world, monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    world.deploy("a")
    world.deploy("b")
    world.set(failing=[serving("c")])
    world.deploy("c")
    summary = (tmp_path / "summary").read_text()
    assert f"## staging runs {COMMIT[:12]}" in summary
    assert f"## staging does not run {COMMIT[:12]}\n\nthe smoke test failed: loans latency 73 ms." in summary
    assert f"| slipway-serving-credit-risk | `{serving('a')}` | `none` |" in summary
    assert f"| slipway-serving-credit-risk | `{serving('b')}` | `{serving('a')}` |" in summary
