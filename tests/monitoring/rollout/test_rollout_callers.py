"""No single caller turns a rollout's verdict: what decides holds without the requests of any one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from monitoring.rollout.decision import OPEN, evaluate
from monitoring.rollout.evidence import Evidence
from monitoring.rollout.policy import Policy
from monitoring.rollout.sequential_tests import Sample
from tests.monitoring.rollout.rollout_world import World

OLD_OWNER, YOUNG_TENANT = {"age": 50, "housing": "own"}, {"age": 20, "housing": "rent"}
MALICE = {
    "fails": lambda k: k % 4 == 0,
    "ms": lambda k: 50.0,
    "score": lambda k: 0.99,
    "truth": lambda k: "bad",
    "row": lambda k: OLD_OWNER,
}
TURNED = {"errors", "time", "scores", "loss", "loss where age is ≥ 40", "loss where housing is own"}


def predict_well(world: World, callers: tuple[str, ...], canary: int = 100, champion: int = 600) -> None:
    for caller in callers:
        known = {"truth": lambda k: "good", "labeler": caller, "row": lambda k: (OLD_OWNER, YOUNG_TENANT)[k % 2]}
        world.predict("champion", champion, caller=caller, **known)
        world.predict("canary", canary, caller=caller, **known)


@pytest.mark.parametrize("callers", ["several", "any"])
def test_harm_that_one_caller_alone_has_takes_no_canary_back_unless_one_may_decide(
    rollout: Callable[..., World], callers: str
) -> None:
    world = rollout(min_predictions=50, min_minutes=0, callers=callers)
    world.begin()
    predict_well(world, ("shop", "bank"))
    world.predict("canary", 2000, caller="mallory", labeler="mallory", **MALICE)
    view = world.once(20)
    if callers == "any":
        assert all(f"; {test}: " in f"; {view.message}".replace("rolled back: ", "; ") for test in TURNED)
        return
    assert (view.version, view.weight, world.refused()) == ("2", 5.0, "")
    disputed = [result for result in view.findings if result.disputed]
    assert {result.test for result in disputed} == TURNED
    assert {(result.verdict, result.caller) for result in disputed} == {(OPEN, "caller mallory")}
    assert "The 2,000 requests of caller mallory alone do not decide: errors, time, " in view.message
    assert "`canary.callers: any` lets one caller decide." in view.message


@pytest.mark.parametrize(
    ("caller", "said"),
    [(None, "no request had a credential, so all callers count as one"), ("shop", "all requests are of caller shop")],
)
def test_a_single_caller_decides_and_the_verdict_says_that_it_was_one(
    rollout: Callable[..., World], caller: str | None, said: str
) -> None:
    world = rollout()
    world.begin()
    world.predict("champion", 600, caller=caller)
    world.predict("canary", 200, caller=caller, fails=lambda k: k % 2 == 0)
    assert world.once(0.1).message.endswith(f"0.5 points is allowed; {said}.")
    assert world.refused().endswith(said)


@pytest.mark.parametrize("callers", [("shop", "bank"), ("", "bank"), tuple(f"{k:032x}" for k in range(20))])
def test_harm_that_several_callers_have_takes_the_canary_back(
    rollout: Callable[..., World], callers: tuple[str, ...]
) -> None:
    world = rollout()
    world.begin()
    for caller in callers:
        world.predict("champion", 1200 // len(callers), caller=caller)
        world.predict("canary", 400 // len(callers), caller=caller, fails=lambda k: k % 4 == 0)
    assert "version 2 was rolled back: errors: 25 % of 400" in world.once(0.1).message


def test_one_of_many_callers_takes_no_canary_back(rollout: Callable[..., World]) -> None:
    world = rollout()
    world.begin()
    predict_well(world, tuple(f"{k:032x}" for k in range(20)), canary=30, champion=60)
    world.predict("canary", 900, caller="f" * 32, fails=lambda k: True)
    view = world.once(20)
    assert (view.version, view.weight) == ("2", 5.0)
    assert "others alone do not decide: errors" in view.message


def test_a_caller_with_many_good_requests_hides_no_harm(rollout: Callable[..., World]) -> None:
    world = rollout(stages=[10], min_minutes=0, min_predictions=50, max_error_excess=0.1)
    world.begin()
    predict_well(world, ("mallory",), canary=1000)
    for caller in ("shop", "bank"):
        world.predict("champion", 300, caller=caller)
        world.predict("canary", 50, caller=caller, fails=lambda k: k % 2 == 0)
    view = world.once(20)
    assert (view.version, world.registry.aliases["champion"]) == ("2", "1")
    [errors] = [result for result in view.findings if result.test == "errors"]
    assert (errors.verdict, errors.caller, errors.disputed) == (OPEN, "caller mallory", True)


def test_a_stage_does_not_end_by_the_predictions_of_one_caller(rollout: Callable[..., World]) -> None:
    world = rollout(min_minutes=0)
    world.begin()
    predict_well(world, ("mallory",), canary=400)
    predict_well(world, ("shop",), canary=20)
    view = world.once(20)
    assert view.weight == 5.0
    assert view.message.startswith("waits for 20 of 200 predictions.")
    assert "The 1,000 requests of caller mallory alone do not decide: predictions" in view.message
    predict_well(world, ("shop",), canary=180)
    assert world.once(20).weight == 25.0


def test_labels_that_one_caller_sends_for_the_rows_of_others_take_no_canary_back(
    rollout: Callable[..., World],
) -> None:
    world = rollout()
    world.write(feedback={"labelers": "any"})
    world.begin()
    predict_well(world, ("mallory",), canary=50)
    for caller in ("shop", "bank"):
        world.predict("champion", 300, caller=caller, labeler="mallory", truth=lambda k: "good")
        world.predict("canary", 200, caller=caller, labeler="mallory", truth=lambda k: "bad")
    view = world.once(0.1)
    assert view.version == "2"
    assert {result.caller for result in view.findings if result.test == "loss"} == {"caller mallory"}


def test_a_conclusion_is_only_taken_away_by_what_is_left_out() -> None:
    """So the probability of a wrong one is alpha at most, as without callers."""
    policy, rng = Policy(), np.random.default_rng(0)

    def draw() -> Evidence:
        shares = rng.choice([0.0, 0.005, 0.05, 0.5], 2)
        numbers = rng.integers(0, 3000, 2)
        samples = tuple(Sample(int(n), float(rng.binomial(n, p))) for n, p in zip(numbers, shares, strict=True))
        return Evidence(means={"errors": samples}, scores=(100, 100), distance=rng.random())

    for _ in range(50):
        whole = draw()
        alone = evaluate(whole, policy)
        several = evaluate(replace(whole, without={"a": draw(), "b": draw()}), policy)
        for before, after in zip(alone, several, strict=True):
            assert after.verdict in (before.verdict, OPEN)
            assert (after.low, after.high, after.canary_n) == (before.low, before.high, before.canary_n)
