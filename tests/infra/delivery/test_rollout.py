"""The rollout: what is deployed where a step fails, and what the message says."""

from __future__ import annotations

import pytest

from infra.delivery.deployment.rollout import RolloutFailed, roll_out
from slipway.errors import ServiceError

BEFORE, WANTED = {"serving": "r/serving@before"}, {"serving": "r/serving@wanted"}


class TargetDouble:
    """Environment in which these images fail at a step, as `{("smoke", "r/serving@wanted"): "latency"}`."""

    def __init__(self, failures=()):
        self.failures = dict(failures)
        self.images = {}
        self.steps = []

    def apply(self, images):
        self.images = images
        self._step("apply")

    def wait(self):
        self._step("wait")

    def smoke(self, images):
        assert images == self.images
        self._step("smoke")
        return "the smoke test passed"

    def _step(self, name):
        image = self.images["serving"]
        self.steps.append((name, image.partition("@")[2]))
        if reason := self.failures.get((name, image)):
            raise ServiceError(reason)


def failed(target, before=BEFORE):
    with pytest.raises(RolloutFailed) as refused:
        roll_out(target, WANTED, before, lambda line: None)
    return str(refused.value)


def test_what_passes_is_deployed_and_said():
    target, said = TargetDouble(), []
    roll_out(target, WANTED, BEFORE, said.append)
    assert target.images == WANTED and said[-1] == "the smoke test passed"
    assert target.steps == [("apply", "wanted"), ("wait", "wanted"), ("smoke", "wanted")]


@pytest.mark.parametrize("step", ["apply", "wait", "smoke"])
def test_whatever_step_fails_the_images_before_are_put_back(step):
    target = TargetDouble({(step, WANTED["serving"]): "it was wrong"})
    message = failed(target)
    assert message == "it was wrong. The images before are back: r/serving@before."
    assert target.images == BEFORE and target.steps[-2:] == [("apply", "before"), ("wait", "before")]


def test_a_first_deployment_that_fails_has_nothing_before_it():
    target = TargetDouble({("smoke", WANTED["serving"]): "latency 73 ms."})
    assert failed(target, {}).startswith("latency 73 ms. Nothing was deployed before")
    assert target.images == WANTED


def test_images_that_were_deployed_already_are_not_put_back():
    target = TargetDouble({("wait", WANTED["serving"]): "no node has room"})
    assert "The same images were deployed before" in failed(target, WANTED)
    assert target.steps == [("apply", "wanted"), ("wait", "wanted")]


def test_where_the_way_back_fails_both_reasons_are_told():
    failures = {("smoke", WANTED["serving"]): "it was wrong", ("wait", BEFORE["serving"]): "no node has room"}
    message = failed(TargetDouble(failures))
    assert message == "it was wrong. The images before could not be put back: no node has room."


def test_an_image_that_is_new_in_this_release_stays_at_its_digest_on_the_way_back():
    wanted = {**WANTED, "ship": "r/ship@wanted"}
    target = TargetDouble({("smoke", WANTED["serving"]): "it was wrong"})
    with pytest.raises(RolloutFailed, match="are back: r/serving@before.$"):
        roll_out(target, wanted, BEFORE, lambda line: None)
    assert target.images == {**BEFORE, "ship": "r/ship@wanted"}
