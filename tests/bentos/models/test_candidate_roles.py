"""A canary and a shadow next to the champion: their events in the log, and no effect on callers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bentos.executor.canary_routing import routes_to_canary
from bentos.models.candidate_runner import MAX_JOBS
from slipway.serving_state import observed
from slipway.serving_state.desired import Canary
from slipway.serving_state.observed import RoleState
from tests.support import bundles
from tests.support.waiting import until

ROW = bundles.ROWS["loans"][0]
OLD = {**ROW, "age": 99.0}
SALT = "ab12"


@pytest.fixture(autouse=True)
def poll_often(monkeypatch):
    monkeypatch.setattr("bentos.models.model_manager.POLL_SECONDS", 0.02)


class World:
    """A worker with the champion, version 1, and bundles for its candidates."""

    def __init__(self, start_client: Callable, var: Path, tmp_path: Path, deadline_ms: int = 300) -> None:
        self.client = start_client(serving={"deadline_ms": deadline_ms, "swap_ratio": 1e6})
        self.var, self.folder = var, tmp_path
        self.champion = self.client.worker.served["loans"].live.digest

    def store(self, version: str, **options: object) -> str:
        folder = self.folder / f"v{version}"
        options.setdefault("serving", {"swap_ratio": 1e6})
        digest = bundles.write(folder, bias=int(version) / 10, **options)
        bundles.put_in_store(self.var, folder, version)
        return digest

    def point(self, canary: str | None = None, weight: float = 100.0, shadow: str | None = None) -> None:
        """Set the desired state and wait until the worker has followed it."""
        roles = {"canary": Canary(canary, weight, SALT) if canary else None, "shadow": shadow}
        generation = bundles.point(self.var, "loans", self.champion, **roles)
        digests = {"champion": self.champion, "canary": canary, "shadow": shadow}
        desired = {role: digest for role, digest in digests.items() if digest is not None}
        until(lambda: self.settled(generation, desired))

    def settled(self, generation: int, desired: dict[str, str]) -> bool:
        (state,) = observed.read(self.var / "serving", "loans")
        done = {role: found.digest for role, found in state.roles.items() if found.outcome != "loading"}
        return state.generation == generation and done == desired

    @property
    def roles(self) -> dict[str, RoleState]:
        (state,) = observed.read(self.var / "serving", "loans")
        return state.roles

    @property
    def candidates(self):
        return self.client.worker.served["loans"].manager.roles.candidates

    def replace_network(self, role: str, run: Callable) -> None:
        """Replace the network of the role, after its probe was checked."""
        getattr(self.candidates, role).live.predictor.run = run

    def events(self) -> list[dict]:
        return [event["slipway"] | {"outcome": event["event"]["outcome"]} for event in self.client.events()]

    def metric(self, name: str, **labels: str) -> float:
        return self.client.metric(name, usecase="loans", **labels)


@pytest.fixture
def world(start_client, var, tmp_path) -> Callable[..., World]:
    return lambda **options: World(start_client, var, tmp_path, **options)


def broken(fault: str) -> Callable:
    def run(feeds):
        if fault == "raises":
            raise RuntimeError("no memory")
        if fault == "hangs":
            time.sleep(1.0)
        return np.full((len(feeds["numbers"]), 2), np.nan, np.float32)

    return run


class TestCanary:
    def test_it_answers_its_share_by_unit_and_is_named_in_the_answer(self, world):
        world = world()
        world.point(world.store("2"), weight=40)
        for number in range(40):
            unit = f"user-{number}"
            body = {"instances": [ROW, ROW]}
            versions = {
                world.client.post("/v1/models/loans/predict", body, **{"x-slipway-unit": unit}).json["model"]["version"]
                for _ in range(3)
            }
            assert versions == {"2" if routes_to_canary("2", unit.encode(), 40, SALT.encode()) else "1"}

    def test_no_response_shows_by_what_its_units_are_chosen(self, world):
        world = world()
        world.point(world.store("2"), weight=40)
        shown = world.client.get("/v1/models/loans").json["pointer"]["canary"]
        assert (shown["weight"], "salt" in shown) == (40, False)

    def test_one_caller_makes_it_busy_for_itself_only(self, world, key, monkeypatch):
        secrets = {name: key(name, "predict") for name in ("mallory", "shop")}
        world = world()
        world.point(world.store("2"))
        runner = world.client.worker.served["loans"].manager.roles.candidates.canary
        callers = set()
        monkeypatch.setattr(runner, "_has_share", lambda work: not callers or work.caller in callers)
        versions = []
        for name in ("mallory", "shop", "mallory"):
            body = {"instances": [ROW]}
            answer = world.client.post("/v1/models/loans/predict", body, x_api_key=secrets[name])
            versions.append(answer.json["model"]["version"])
            callers = callers or {event["caller"] for event in world.events()}
        assert versions == ["2", "1", "2"]

    def test_its_event_is_the_one_that_is_answered(self, world):
        world = world()
        world.point(world.store("2"))
        answer = world.client.predict(ROW).json
        (event,) = world.events()
        assert answer["model"]["version"] == "2"
        assert (event["role"], event["model_version"], event["answered"]) == ("canary", "2", True)
        assert event["row_id"] == answer["predictions"][0]["id"]
        assert event["score"] == answer["predictions"][0]["score"]
        assert world.metric("slipway_model_info", version="2", role="canary", source="pointer", device="cpu") == 1

    @pytest.mark.alone
    @pytest.mark.parametrize(
        ("fault", "reason", "error"),
        [("raises", "error", "ModelError"), ("NaN", "error", "ModelError"), ("hangs", "late", "Late")],
    )
    def test_where_it_fails_the_champion_answers_and_the_failure_is_logged(self, world, fault, reason, error):
        world = world()
        world.point(world.store("2"))
        world.replace_network("canary", broken(fault))
        before = world.metric("slipway_canary_fallbacks_total", version="2", reason=reason)
        errors = world.metric("slipway_model_errors_total", version="2", role="canary")
        started = time.monotonic()
        answer = world.client.predict(ROW, OLD)
        assert time.monotonic() - started < 0.9
        assert (answer.status, answer.json["model"]["version"]) == (200, "1")
        time.sleep(1.0 if fault == "hangs" else 0)  # a late answer writes nothing
        found = Counter((e["role"], e["outcome"], e["answered"]) for e in world.events())
        assert found == {("canary", "failure", False): 2, ("champion", "success", True): 2}
        assert {e["error"]["type"] for e in world.client.events() if "error" in e} == {error}
        assert len({e["row_id"] for e in world.events()}) == 2
        assert world.metric("slipway_canary_fallbacks_total", version="2", reason=reason) == before + 1
        assert world.metric("slipway_model_errors_total", version="2", role="canary") == errors + 1

    @pytest.mark.alone
    def test_while_it_hangs_no_other_request_waits(self, world):
        world = world()
        world.point(world.store("2"))
        end = threading.Event()
        world.replace_network("canary", lambda feeds: end.wait(20))
        world.client.predict(ROW)
        started = time.monotonic()
        for _ in range(20):
            assert world.client.predict(ROW).json["model"]["version"] == "1"
        assert time.monotonic() - started < 20 * 0.3 / 2
        end.set()
        assert world.metric("slipway_canary_fallbacks_total", version="2", reason="busy") >= 20

    def test_a_request_that_is_wrong_is_refused_as_ever_and_no_fault_of_the_canary(self, world):
        world = world()
        world.point(world.store("2"))
        before = world.metric("slipway_model_errors_total", version="2", role="canary")
        answer = world.client.predict({"age": "old"})
        assert (answer.status, answer.json["place"]) == (422, "instances[0].age")
        assert world.events() == []
        assert world.metric("slipway_model_errors_total", version="2", role="canary") == before

    def test_the_champion_answers_requests_that_only_the_canary_refuses(self, world):
        world = world()
        world.point(world.store("2", serving={"max_instances": 1, "swap_ratio": 1e6}))
        assert world.client.predict(ROW).json["model"]["version"] == "2"
        assert world.client.predict(ROW, ROW).json["model"]["version"] == "1"

    def test_its_weight_changes_without_loading_it_again(self, world):
        world = world()
        digest = world.store("2")
        world.point(digest, weight=5)
        runner = world.candidates.canary
        world.point(digest, weight=100)
        assert world.candidates.canary is runner
        assert world.client.predict(ROW).json["model"]["version"] == "2"
        world.point(digest, weight=0)
        assert world.client.predict(ROW).json["model"]["version"] == "1"


class TestShadow:
    def test_it_gets_a_copy_whose_answer_nobody_gets(self, world):
        world = world(deadline_ms=5000)
        world.point(shadow=world.store("3"))
        answer = world.client.predict(ROW, OLD).json
        until(lambda: len(world.events()) == 4)
        found = Counter((e["role"], e["model_version"], e["answered"], e["outcome"]) for e in world.events())
        assert answer["model"]["version"] == "1"
        assert found == {("champion", "1", True, "success"): 2, ("shadow", "3", False, "success"): 2}
        assert len({e["row_id"] for e in world.events()}) == 2
        until(lambda: world.metric("slipway_model_seconds_count", version="3", role="shadow") >= 1)

    def test_it_also_gets_requests_that_the_canary_answers(self, world):
        world = world(deadline_ms=5000)
        world.point(world.store("2"), shadow=world.store("3"))
        world.client.predict(ROW)
        until(lambda: len(world.events()) == 2)
        assert {e["role"]: e["answered"] for e in world.events()} == {"canary": True, "shadow": False}

    @pytest.mark.parametrize("fault", ["raises", "NaN"])
    def test_its_failures_are_logged_and_affect_no_answer(self, world, fault):
        world = world()
        world.point(shadow=world.store("3"))
        world.replace_network("shadow", broken(fault))
        assert world.client.predict(ROW).status == 200
        until(lambda: len(world.events()) == 2)
        assert {e["role"]: e["outcome"] for e in world.events()} == {"champion": "success", "shadow": "failure"}

    @pytest.mark.alone
    def test_a_flood_of_it_is_shed_and_answers_stay_fast(self, world):
        world = world()
        world.point(shadow=world.store("3"))
        network = world.candidates.shadow.live.predictor.run
        world.replace_network("shadow", lambda feeds: time.sleep(0.02) or network(feeds))
        shed = world.metric("slipway_shadow_shed_total", version="3")
        seconds = []
        for _ in range(4 * MAX_JOBS):
            started = time.perf_counter()
            assert world.client.predict(ROW).status == 200
            seconds.append(time.perf_counter() - started)
        assert float(np.median(seconds)) < 0.015
        assert world.metric("slipway_shadow_shed_total", version="3") > shed

    def test_requests_that_waited_past_the_deadline_are_shed(self, world):
        world = world()
        world.point(shadow=world.store("3"))
        network = world.candidates.shadow.live.predictor.run
        world.replace_network("shadow", lambda feeds: time.sleep(0.2) or network(feeds))
        shed = world.metric("slipway_shadow_shed_total", version="3")
        for _ in range(5):
            world.client.predict(ROW)
        until(lambda: world.metric("slipway_shadow_shed_total", version="3") >= shed + 3)
        assert Counter(e["role"] for e in world.events())["champion"] == 5

    def test_a_copy_that_runs_past_the_deadline_is_in_the_log_and_not_shed_as_well(self, world):
        world = world(deadline_ms=300)
        world.point(shadow=world.store("3"))
        network = world.candidates.shadow.live.predictor.run
        world.replace_network("shadow", lambda feeds: time.sleep(0.5) or network(feeds))
        shed = world.metric("slipway_shadow_shed_total", version="3")
        world.client.predict(ROW)
        until(lambda: len(world.events()) == 2)
        assert {e["role"]: e["outcome"] for e in world.events()} == {"champion": "success", "shadow": "failure"}
        world.client.worker.stop()
        assert world.metric("slipway_shadow_shed_total", version="3") == shed

    def test_a_stopping_worker_waits_for_its_queued_requests(self, world):
        world = world(deadline_ms=5000)
        world.point(shadow=world.store("3"))
        network = world.candidates.shadow.live.predictor.run
        world.replace_network("shadow", lambda feeds: time.sleep(0.05) or network(feeds))
        for _ in range(4):
            world.client.predict(ROW)
        world.client.worker.stop()
        assert Counter(e["role"] for e in world.events()) == {"champion": 4, "shadow": 4}


class TestRefused:
    def test_neither_affects_the_champion_or_the_other(self, world):
        world = world()
        world.point(world.store("2", passed=False), shadow=world.store("3"))
        assert world.roles["canary"].outcome == "refused"
        assert "its gates failed" in world.roles["canary"].reason
        assert (world.roles["champion"].outcome, world.roles["shadow"].outcome) == ("serving", "serving")
        assert world.candidates.canary is None
        assert world.client.predict(ROW).json["model"]["version"] == "1"

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"probe_shift": 0.1}, "outputs for the probe rows differ"),
            ({"slow": 60, "serving": {}}, "times as long as version 1"),
            ({"schema": msgspec.structs.replace(bundles.TABULAR, classes=("yes", "bad"))}, "classes differ"),
        ],
    )
    def test_a_canary_is_checked_as_a_champion_is(self, world, options, reason):
        world = world()
        world.point(world.store("2", **options))
        assert world.roles["canary"].outcome == "refused"
        assert reason in world.roles["canary"].reason
        assert world.candidates is None

    def test_an_invalid_digest_and_a_missing_bundle_are_refused(self, world):
        world = world()
        world.point("../../etc", shadow="5" * 64)
        assert "not a digest" in world.roles["canary"].reason
        assert "no manifest" in world.roles["shadow"].reason

    def test_a_failure_of_the_machine_is_retried(self, world, monkeypatch):
        world = world()
        digest = world.store("2")
        monkeypatch.setattr("bentos.models.activation.RETRY_SECONDS", 0.1)
        with monkeypatch.context() as patch:
            patch.setattr(
                "bentos.models.candidate_roles.load", lambda *a, **k: (_ for _ in ()).throw(OSError("No space left"))
            )
            world.point(digest)
            assert (world.roles["canary"].outcome, world.candidates) == ("failed", None)
            assert "No space left" in world.roles["canary"].reason
        until(lambda: world.roles["canary"].outcome == "serving")


class TestSwap:
    def test_a_canary_that_is_replaced_or_taken_away_ends_its_thread(self, world):
        world = world()
        world.point(world.store("2"))
        world.point(world.store("4"))
        assert world.client.predict(ROW).json["model"]["version"] == "4"
        assert [t.name for t in threading.enumerate()].count("canary-loans") == 1
        assert world.metric("slipway_model_info", version="2", role="canary", source="pointer", device="cpu") == 0
        world.point()
        until(lambda: "canary-loans" not in [t.name for t in threading.enumerate()])
        assert world.candidates is None
        assert set(world.roles) == {"champion"}

    def test_another_champion_causes_a_new_check_of_the_canary(self, world):
        world = world()
        wider = msgspec.structs.replace(bundles.TABULAR, retired=("fax", "telex"))
        plain, digest = world.champion, world.store("2")
        world.champion = world.store("5", schema=wider)
        world.point(digest)
        until(lambda: world.client.worker.served["loans"].live.version == "5")
        assert "telex is gone and not retired" in world.roles["canary"].reason
        assert plain != world.champion

    def test_champion_and_canary_swap_under_requests_without_one_lost(self, world):
        world = world()
        digests = {version: world.store(version) for version in ("2", "3", "4", "5")}
        stopping, answers = threading.Event(), []

        def predict() -> None:
            while not stopping.is_set():
                answers.append(world.client.predict(ROW))

        caller = threading.Thread(target=predict)
        caller.start()
        for champion, canary in (("2", "3"), ("3", "4"), ("4", "5"), ("5", None)):
            world.champion = digests[champion]
            world.point(digests.get(canary), weight=50, shadow=digests["2"])
        stopping.set()
        caller.join()
        assert {answer.status for answer in answers} == {200}
        answered = Counter(e["row_id"] for e in world.events() if e["answered"])
        assert answered == Counter(answer.json["predictions"][0]["id"] for answer in answers)
        assert {answer.json["model"]["version"] for answer in answers} >= {"2", "3", "4", "5"}

    def test_use_cases_have_roles_of_their_own(self, start_client, var, tmp_path):
        client = start_client(bundles.TABULAR, bundles.REGRESSION, serving={"swap_ratio": 1e6})
        digest = bundles.write(tmp_path / "two", bundles.REGRESSION, bias=1.0, serving={"swap_ratio": 1e6})
        bundles.put_in_store(var, tmp_path / "two", "2")
        bundles.point(var, "prices", client.worker.served["prices"].live.digest, canary=Canary(digest, 100.0))
        until(lambda: client.worker.served["prices"].manager.roles.candidates is not None)
        assert client.worker.served["loans"].manager.roles.candidates is None
        assert client.predict({"area": 80, "rooms": 3}, usecase="prices").json["model"]["version"] == "2"
        assert client.predict(ROW).json["model"]["version"] == "1"


class TestDeadline:
    @pytest.mark.alone
    def test_a_champion_that_is_late_is_a_503_and_its_event_is_not_answered(self, world):
        world = world()
        live = world.client.worker.served["loans"].live
        live.inline_bytes = -1
        network = live.predictor.run
        live.predictor.run = lambda feeds: time.sleep(0.6) or network(feeds)
        started = time.monotonic()
        answer = asyncio.run(self._timed(world, started))
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert "within 300 ms" in answer.json["detail"]
        until(lambda: len(world.events()) == 1)
        (event,) = world.client.events()
        assert (event["slipway"]["answered"], event["error"]["type"]) == (False, "Late")

    async def _timed(self, world: World, started: float):
        answer = await world.client._call(
            "POST",
            "/v1/models/loans/predict",
            msgspec.json.encode({"instances": [ROW]}),
            {"content-type": "application/json"},
        )
        assert time.monotonic() - started < 0.55
        return answer
