"""The lock of an environment: one deployment at a time, and none for ever."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from infra.delivery.deployment import lock
from infra.delivery.deployment.cluster import Cluster
from infra.delivery.deployment.lock import Lock, Step, held, next_step
from slipway.errors import RunLocked, ServiceError

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def state(programs, needs):
    return programs.kubectl(needs("kubectl"))


@pytest.fixture
def cluster(state, monkeypatch):
    monkeypatch.setattr(lock, "POLL_SECONDS", 0.05)
    return Cluster("slipway")


def acquire(cluster, holder="me", wait=0.0, lasts=60.0, say=lambda line: None):
    return held(cluster, holder, lasts, wait, say)


@pytest.fixture
def take(cluster):
    """`take("another")` acquires the lock and does not release it, as a process that was killed."""
    return lambda holder, lasts=60.0: lock.acquire(cluster, holder, lasts, 0, print)


def holder(cluster):
    return cluster.get("configmap", lock.NAME)["data"]["holder"]


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        (None, Step.CREATE),
        (Lock("another", LATER, "1"), Step.WAIT),
        (Lock("another", NOW, "1"), Step.REPLACE),
        (Lock("me", LATER, "1"), Step.REPLACE),
    ],
)
def test_the_next_step(current, expected):
    assert next_step(current, "me", NOW) is expected


def test_it_is_held_for_the_block_and_free_afterwards(cluster, state):
    with acquire(cluster):
        assert holder(cluster) == "me"
    assert json.loads(state.read_text())["objects"] == {}


def test_it_is_free_after_an_error(cluster, state):
    with pytest.raises(ServiceError, match="a rollout failed"), acquire(cluster):
        raise ServiceError("a rollout failed")
    assert json.loads(state.read_text())["objects"] == {}


def test_a_second_deployment_waits_and_says_for_whom(cluster):
    said = []
    with (
        acquire(cluster, "the first"),
        pytest.raises(RunLocked) as refused,
        acquire(cluster, wait=0.3, say=said.append),
    ):
        pass
    assert said == ["waiting for the first, which is deploying to the namespace slipway"]
    assert "kubectl --namespace slipway delete configmap delivery-lock" in str(refused.value)


def test_a_second_deployment_begins_when_the_first_has_ended(cluster, take):
    take("the first")
    with acquire(cluster, wait=20, say=lambda line: lock.release(cluster, "the first")):
        assert holder(cluster) == "me"


def test_the_lock_of_a_dead_deployment_expires(cluster, take):
    take("the dead", lasts=-1)
    with acquire(cluster):
        assert holder(cluster) == "me"


def test_the_same_workflow_that_runs_again_takes_its_own_lock_over(cluster, take):
    take("example/slipway run 7")
    with acquire(cluster, "example/slipway run 7"):
        assert holder(cluster) == "example/slipway run 7"


def test_a_lock_that_expired_and_was_taken_is_not_removed(cluster, take):
    with acquire(cluster, "slow", lasts=-1):
        take("next")
    assert holder(cluster) == "next"


def test_who_loses_the_race_for_it_waits(cluster, take, monkeypatch):
    real, reads = lock._read, []

    def stale(cluster):
        """Return what was there before another deployment took the lock, at the first look."""
        reads.append(1)
        return None if len(reads) == 1 else real(cluster)

    take("the winner")
    monkeypatch.setattr(lock, "_read", stale)
    with pytest.raises(RunLocked, match="the winner is deploying"), acquire(cluster):
        pass
    assert len(reads) == 2


def test_a_cluster_that_refuses_is_no_race(cluster, programs):
    programs.script("kubectl", '[ "$3" = get ] || { echo "Error (Forbidden): configmaps is forbidden" >&2; exit 1; }')
    with pytest.raises(ServiceError, match="is forbidden"), acquire(cluster):
        pass
