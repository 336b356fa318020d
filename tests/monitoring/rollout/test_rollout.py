from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from monitoring.rollout.evidence import Evidence
from slipway import audit
from slipway.config import Canary
from tests.monitoring.rollout.rollout_world import FAST, NAME, World
from tests.support.prediction_log.broken_log import break_log


def test_a_canary_begins_with_the_first_stage_and_says_what_it_waits_for(rollout: Callable[..., World]) -> None:
    world = rollout()
    assert world.once().version is None
    view = world.begin()
    assert (view.version, view.champion, view.weight, view.stage) == ("2", "1", 5.0, 1)
    assert view.stages == [5, 25, 50, 100]
    world.predict("champion", 300)
    world.predict("canary", 150)
    view = world.once(3)
    assert view.message == "waits for 150 of 200 predictions, 3.0 of 10 minutes."
    assert {finding.test for finding in view.findings} >= {"errors", "time", "scores", "loss"}
    assert world.actions == ["canary.began"]


def test_each_rollout_has_a_salt_of_its_own_and_keeps_it_through_its_stages(rollout: Callable[..., World]) -> None:
    salts = []
    for _ in range(2):
        world = rollout(**FAST)
        world.begin()
        salts.append(world.running.salt)
        world.predict("champion", 100)
        world.predict("canary", 60)
        assert world.once(1).stage == 2
        world.restart()
        assert world.running.salt == salts[-1]
        assert salts[-1] not in repr(world.once().to_dict()) + repr(audit.lines(NAME, world.config))
    assert [len(salt) for salt in salts] == [32, 32]
    assert salts[0] != salts[1]


@pytest.mark.slow
def test_an_equal_canary_goes_through_all_stages_and_becomes_champion_on_evidence(
    rollout: Callable[..., World],
) -> None:
    world = rollout(min_minutes=1)
    world.begin()
    world.predict("champion", 3000)
    weights = []
    for _ in range(4):
        world.predict("canary", 600)
        weights.append(world.once(2).weight)
    assert weights == [25, 50, 100, 0]
    assert world.registry.aliases == {"champion": "2"}
    assert world.registry.tags == {}
    assert world.actions == ["canary.began", *["canary.advanced"] * 3, "canary.finished"]
    line = audit.lines(NAME, world.config)[-1]
    assert {"alias": "champion", "from": "1", "to": "2"} in line.evidence["moved"]
    assert {f["test"] for f in line.evidence["findings"]} >= {"errors", "time", "scores"}


def test_without_evidence_it_waits_after_the_last_stage(rollout: Callable[..., World]) -> None:
    world = rollout(min_minutes=0, min_predictions=50, stages=[10])
    world.begin()
    world.predict("champion", 500)
    world.predict("canary", 60)
    assert world.once().message == "waits for evidence on errors, time, scores."
    assert world.registry.aliases == {"champion": "1", "canary": "2"}


def test_a_canary_that_fails_is_taken_back_refused_and_written_down(rollout: Callable[..., World]) -> None:
    world = rollout()
    world.begin()
    world.predict("champion", 6000)
    world.predict("canary", 300, fails=lambda k: k % 20 == 0)
    view = world.once(0.5)
    assert (view.version, view.rolled_back) == (None, 1)
    assert world.registry.aliases == {"champion": "1"}
    assert world.registry.tags == {}
    assert world.refused().startswith(
        "taken back by slipway rollout: errors: 5 % of 300 versus the champion's 0 % of 6"
    )
    assert world.actions == ["canary.began", "canary.rolled_back"]
    assert world.once().message == view.message


def test_a_canary_that_is_slow_is_taken_back(rollout: Callable[..., World]) -> None:
    world = rollout()
    world.begin()
    world.predict("champion", 1000)
    world.predict("canary", 50, ms=lambda k: 5.0)
    assert "time: 100 % of 50" in world.once(0.2).message


def test_a_person_says_where_the_stages_begin(rollout: Callable[..., World]) -> None:
    world = rollout(**FAST)
    world.registry.found["2"].tags["slipway.canary_weight"] = "10"
    view = world.begin()
    assert (view.weight, view.stages) == (10, [10, 25, 50, 100])
    assert "slipway.canary_weight" not in world.registry.found["2"].tags
    world.predict("champion", 500)
    world.predict("canary", 60)
    view = world.once(1)
    assert (view.weight, view.stage, view.stages) == (25, 2, [10, 25, 50, 100])


def test_a_canary_whose_scores_are_elsewhere_is_taken_back(rollout: Callable[..., World]) -> None:
    world = rollout()
    world.begin()
    world.predict("champion", 4000)
    world.predict("canary", 400, score=lambda k: 0.5)
    assert world.once(1).version == "2"  # half of the champion's scores are on either side: 0.5, and not surely more
    world.predict("canary", 800, score=lambda k: 0.99)
    assert world.once(1).message.startswith(
        "version 2 was rolled back: scores: the distributions of 1,200 and 4,000 scores"
    )


def test_scores_that_are_meant_to_differ_may(rollout: Callable[..., World]) -> None:
    world = rollout(max_score_shift=None)
    world.begin()
    world.predict("champion", 2000)
    world.predict("canary", 500, score=lambda k: 0.99)
    assert [finding.test for finding in world.once(1).findings][:3] == ["errors", "time", "loss"]


@pytest.mark.slow
@pytest.mark.parametrize("slice_", [{"age": 50, "housing": "rent"}, {"age": 20, "housing": "own"}])
def test_a_canary_that_is_wrong_in_one_slice_is_taken_back_within_60_of_its_labels(
    rollout: Callable[..., World], slice_: dict
) -> None:
    """Where the champion is wrong in 2 of 10, the canary is in 7 of 10; elsewhere both are in 2 of 10."""
    world = rollout()
    world.begin()
    other = {"age": 20, "housing": "rent"}
    answers = {"label": lambda k: "good", "row": lambda k: (slice_, other, other)[k % 3]}
    world.predict("champion", 3000, truth=lambda k: "bad" if k // 3 % 10 < 2 else "good", **answers)
    labelled = 0
    while world.once(1).version == "2":
        world.predict("canary", 30, truth=lambda k: "bad" if k // 3 % 10 < (7, 2, 2)[k % 3] else "good", **answers)
        labelled += 10
        assert labelled <= 60
    name = "loss where age is ≥ 40" if slice_["age"] == 50 else "loss where housing is own"
    assert f"taken back by slipway rollout: {name}: 70 %" in world.refused()


def test_a_mistake_weighs_what_it_costs(rollout: Callable[..., World]) -> None:
    world = rollout(**FAST)
    cost = {"false_negative": 5, "false_positive": 1}
    world.write(target={"name": "risk", "classes": ["good", "bad"], "positive": "bad", "cost": cost}, canary=FAST)
    world.begin()
    world.predict("champion", 100, label=lambda k: "bad", truth=lambda k: "good")
    world.predict("canary", 100, label=lambda k: "good", truth=lambda k: "bad")
    loss = next(finding for finding in world.once(1).findings or last_findings(world) if finding["test"] == "loss")
    assert (loss["champion"], loss["canary"]) == (pytest.approx(0.2), 1.0)


@pytest.mark.parametrize(("labeler", "taken_back"), [("app", True), ("somebody", False)])
def test_labels_of_another_caller_take_no_canary_back(
    rollout: Callable[..., World], labeler: str, taken_back: bool
) -> None:
    world = rollout(**FAST)
    world.begin()
    world.predict("champion", 300, truth=lambda k: "good", caller="app", labeler="app")
    world.predict("canary", 100, truth=lambda k: "bad", caller="app", labeler=labeler)
    world.once(1)
    assert ("loss" in world.refused()) == taken_back


def last_findings(world: World) -> list[dict]:
    return audit.lines(NAME, world.config)[-1].evidence["findings"]


def test_regressions_are_compared_by_errors_relative_to_the_champions_largest(
    rollout: Callable[..., World],
) -> None:
    world = rollout(**FAST, max_score_shift=1)
    world.write(task="regression", target={"name": "risk"}, gates={}, canary=FAST | {"max_score_shift": 1})
    world.begin()
    world.predict("champion", 1000, value=lambda k: 100 + k % 10, truth=lambda k: 100.0)
    world.predict("canary", 40, value=lambda k: 100 + k % 10, truth=lambda k: 100.0)
    loss = next(finding for finding in world.once(1).findings if finding.test == "loss")
    assert (loss.champion, loss.canary) == (pytest.approx(0.5), pytest.approx(0.5))
    world.predict("canary", 100, value=lambda k: 1e6, truth=lambda k: 100.0)
    assert "loss: " in world.once(1).message


def test_quality_delays_nothing_unless_labels_are_required(rollout: Callable[..., World]) -> None:
    world = rollout(**FAST, stages=[50], min_labelled=30)
    world.begin()
    world.predict("champion", 1000)
    world.predict("canary", 300, truth=lambda k: "good" if k < 20 else None)
    assert world.once(1).message == "waits for 20 of 30 labels."
    world.predict("canary", 10, truth=lambda k: "good")
    assert "became the champion" in world.once(1).message


def test_a_batch_is_one_witness(rollout: Callable[..., World]) -> None:
    world = rollout()
    world.begin()
    world.predict("champion", 1000, batch=1000)
    world.predict("canary", 500, batch=500, fails=lambda k: True)
    view = world.once(1)
    assert view.version == "2"
    assert [(f.canary_n, f.champion_n) for f in view.findings if f.test == "errors"] == [(1, 1)]


def test_rows_that_the_champion_predicts_for_a_failed_canary_are_not_counted_as_its_own(
    rollout: Callable[..., World],
) -> None:
    world = rollout(max_error_excess=0.9)
    world.begin()
    world.predict("champion", 200)
    world.predict("canary", 100, fails=lambda k: k % 2 == 0, truth=lambda k: "good")
    found = {finding.test: finding for finding in world.once(1).findings}
    assert [found[test].champion_n for test in ("errors", "time", "scores")] == [200, 200, 200]
    assert (found["loss"].canary_n, found["loss"].champion_n) == (50, 0)


def test_other_versions_and_what_was_before_the_rollout_do_not_count(rollout: Callable[..., World]) -> None:
    world = rollout()
    world.predict("canary", 100, fails=lambda k: True)
    world.predict("champion", 100)
    world.now += timedelta(hours=1)
    world.begin()
    assert {(f.canary_n, f.champion_n) for f in world.once(1).findings} == {(0, 0)}


class TestAutoPromote:
    def test_a_challenger_that_passed_its_gates_becomes_the_canary_by_itself(self, rollout) -> None:
        world = rollout()
        world.write(auto_promote=True)
        world.registry.aliases["challenger"] = "2"
        assert world.once().version is None  # its gates are not known to have passed
        world.registry.found["2"].tags["slipway.gate"] = "passed"
        assert "version 2 becomes the canary" in world.once().message
        assert world.once().version == "2"
        assert world.actions == ["promoted", "canary.began"]

    def test_one_that_a_person_took_away_does_not_come_back_and_a_newer_one_does(self, rollout) -> None:
        world = rollout()
        world.write(auto_promote=True)
        for number in ("2", "3"):
            world.registry.found[number].tags["slipway.gate"] = "passed"
        world.registry.aliases["challenger"] = "2"
        world.once()
        world.once()
        del world.registry.aliases["canary"]
        for _ in range(3):
            assert world.once().version is None
        world.restart()
        assert world.once().version is None
        world.registry.aliases["challenger"] = "3"
        world.once()
        assert world.once().version == "3"

    def test_a_version_whose_number_comes_again_was_no_canary_before(self, rollout) -> None:
        world = rollout()
        world.write(auto_promote=True)
        world.registry.aliases["challenger"] = "2"
        world.registry.found["2"].tags["slipway.gate"] = "passed"
        world.once()
        world.once()
        del world.registry.aliases["canary"]
        assert [world.once().version for _ in range(2)] == [None, None]
        world.now = datetime.now(UTC) + timedelta(hours=1)
        world.register("2", "d" * 64)
        world.registry.found["2"].tags["slipway.gate"] = "passed"
        assert "version 2 becomes the canary" in world.once().message

    @pytest.mark.parametrize("tags", [{"slipway.gate": "failed"}, {"slipway.gate": "passed", "slipway.refused": "no"}])
    def test_one_that_failed_or_was_refused_does_not(self, rollout, tags: dict[str, str]) -> None:
        world = rollout()
        world.write(auto_promote=True)
        world.registry.aliases["challenger"] = "2"
        world.registry.found["2"].tags.update(tags)
        assert world.once().message == ""

    def test_without_it_a_challenger_stays_one(self, rollout) -> None:
        world = rollout()
        world.registry.aliases["challenger"] = "2"
        world.registry.found["2"].tags["slipway.gate"] = "passed"
        world.once()
        assert "canary" not in world.registry.aliases


def test_a_long_log_is_read_less_often(rollout: Callable[..., World], monkeypatch) -> None:
    world = rollout()
    world.begin()
    reads = []

    def gather(*_: object) -> Evidence:
        reads.append(time.sleep(0.2))
        return Evidence(scores=(0, 0))

    monkeypatch.setattr(world.rollouts.stages, "_gather", gather)
    for _ in range(5):
        world.rollouts.once(NAME)
    assert len(reads) == 1


@pytest.mark.parametrize("stages", [[], [0, 50], [50, 25], [100], [50, 101], [5, 5]])
def test_stages_that_do_not_rise_from_below_100_are_refused(stages: list[int]) -> None:
    with pytest.raises(ValidationError):
        Canary(stages=stages)


def test_broken_files_of_the_log_are_said_and_the_rollout_goes_on(rollout: Callable[..., World]) -> None:
    world = rollout()
    world.begin()
    world.predict("champion", 6000)
    world.predict("canary", 300, fails=lambda k: k % 20 == 0)
    break_log(world.config, NAME, world.now)
    assert world.once(0.5).rolled_back == 1
    world = rollout()
    world.begin()
    world.predict("canary", 150)
    break_log(world.config, NAME, world.now)
    assert "3.0 of 10 minutes. The log was read without what is broken in 6 files" in world.once(3).message
