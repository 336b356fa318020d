"""Runs: a command finds its unfinished run, a finished one says so, and nothing else is taken for either."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from pipelines.artifacts import STEPS, GatedReport, Registration, SplitReport
from pipelines.runs import run as runs
from pipelines.runs.baseline import Baseline
from pipelines.runs.run import Run, RunRecord, open_run, training_lock
from slipway.config import UseCase, load
from slipway.config.schema_builder import from_usecase
from slipway.contracts.bundle.gate_report import Gate
from slipway.errors import DataError, RegistryError, RunLocked
from slipway.settings import settings
from slipway.telemetry import pipeline_runs
from tests.pipelines.labels.production_log import ProductionLog

GATES = [Gate(f"gate {verdict}", None, None, verdict, "") for verdict in ("passed", "passed", "waived")]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict:
    """The registry's baseline, and the keys of the runs that it holds versions of."""
    says = {"baseline": Baseline(), "keys": set()}
    monkeypatch.setattr(runs, "observe_baseline", lambda name: says["baseline"])
    monkeypatch.setattr(runs, "is_registered", lambda name, key: key in says["keys"])
    return says


@pytest.fixture
def go(usecase: Callable[..., UseCase], orders, registry) -> Callable[..., tuple[Run, list[str]]]:
    """`go(until="split")` runs pretended steps up to and without that one; gives the run and the steps that ran."""
    found = usecase(orders)

    def run(until: str | None = None, *, fresh: bool = False, register: bool = True, changes: dict | None = None):
        ran: list[str] = []
        with open_run(
            load("orders", changes) if changes else found, changes or {}, register=register, fresh=fresh
        ) as it:
            for name in STEPS if register else STEPS[:-1]:
                if name == until:
                    break
                it.step(name, lambda out, name=name: (ran.append(name), leave(name, out)))
            if it.paths.register.exists():
                registry["keys"].add(it.record.key)
        return it, ran

    return run


def leave(name: str, out: Path) -> None:
    Registration(name="orders", version="1", run_id="r1", gate="passed", reasons=[], digest="d1", already=False).write(
        out
    )
    counts = {"train": 60, "validation": 20, "holdout": 20}
    SplitReport(counts=counts, frozen=False, production=None, holdout_sha256="h1", leaks={}).write(out)
    GatedReport(
        metric="roc_auc", scores={}, calibration=None, confusion=None, slices=[], gates=GATES, passed=True
    ).write(out)


def test_the_result_of_a_run_is_recorded_once(go):
    go()
    go()
    found = pipeline_runs.read(settings(), "orders", "train")
    assert (found.runs, found.rows["train"], found.gates) == ({"succeeded": 1}, 60, {"passed": 2, "waived": 1})
    assert found.ended.keys() == {"succeeded"}
    go(fresh=True)
    assert pipeline_runs.read(settings(), "orders", "train").runs == {"succeeded": 2}


def test_an_unfinished_run_and_one_that_is_not_registered_have_no_result(go):
    go(until="train")
    go(register=False)
    assert pipeline_runs.read(settings(), "orders", "train") is None


def test_a_failure_is_a_result_and_a_refused_command_is_none(go, monkeypatch):
    def fail(*_: object) -> None:
        raise RegistryError("it does not respond")

    monkeypatch.setattr(runs, "observe_baseline", fail)
    with pytest.raises(RegistryError):
        go()
    with runs.training_lock("orders"), pytest.raises(RunLocked):
        go()
    assert pipeline_runs.read(settings(), "orders", "train").runs == {"failed": 1}


def test_the_same_command_resumes_an_unfinished_run(go):
    first, ran = go(until="train")
    assert ran == list(STEPS[: STEPS.index("train")])
    second, ran = go()
    assert second.record == first.record
    assert ran == list(STEPS[STEPS.index("train") :])
    assert not second.finished_before and second.finished


def test_a_finished_run_does_nothing_and_says_so(go):
    first, _ = go()
    again, ran = go()
    assert (again.record, ran, again.finished_before) == (first.record, [], True)


def test_its_own_promotion_and_holdout_leave_a_finished_run_finished(go, registry):
    first, _ = go()
    registry["baseline"] = Baseline("1", "d1", "h1")
    assert go()[0].record.key == first.record.key


def test_another_champion_is_a_reason_to_train_again(go, registry):
    first, _ = go()
    registry["baseline"] = Baseline("7", "another", "h1")
    second, ran = go()
    assert second.record.key != first.record.key and ran == list(STEPS)


def test_an_unfinished_run_keeps_the_champion_that_it_recorded(go, registry):
    first, _ = go(until="train")
    registry["baseline"] = Baseline("7", "another", "h1")
    assert go()[0].record.baseline == first.record.baseline == Baseline()


def test_a_registry_that_lost_the_version_gets_it_again(go, registry):
    first, _ = go()
    registry["keys"].clear()
    again, ran = go()
    assert (again.record.key, ran) == (first.record.key, ["register"])


def test_fresh_begins_anew_and_is_then_what_is_repeated(go):
    first, _ = go(until="train")
    second, ran = go(fresh=True)
    assert second.record.attempt == 2 and ran == list(STEPS)
    assert second.record.key != first.record.key
    assert go()[0].record.key == second.record.key


@pytest.mark.parametrize("changes", [{"seed": "8"}, {"split.salt": "other"}, {"epochs": "3"}, {"gates.margin": "0.02"}])
def test_another_configuration_is_another_run(go, changes):
    assert go(until="clean")[0].record.key != go(until="clean", changes=changes)[0].record.key


def test_other_data_code_or_mask_key_are_another_run(go, tmp_path, var):
    keys = {go(until="clean")[0].record.key}
    (tmp_path / "orders.csv").write_text("another,file\n")
    keys.add(go(until="clean")[0].record.key)
    (tmp_path / "usecases" / "orders" / "clean.py").write_text("def clean(frame):\n    return frame\n")
    keys.add(go(until="clean")[0].record.key)
    (var / "mask.key").write_text("another secret of this machine")
    settings.cache_clear()
    keys.add(go(until="clean")[0].record.key)
    assert len(keys) == 4


FEW = {"retraining.min_labelled_rows": "10"}


@pytest.fixture
def label_orders(usecase):
    """`label_orders(rows, start)` predicts and labels as many orders, no two of them equal."""

    def label(rows: int, start: int, truth: str = "no") -> list[str]:
        log = ProductionLog(settings(), from_usecase(load("orders")))
        orders = [{"amount": start + number, "items": 1, "country": "de", "gift": True} for number in range(rows)]
        ids = log.answered(orders, [{"label": "no", "score": 0.1}] * rows, start)
        log.labelled(ids, [truth] * rows)
        return ids

    return label


def test_new_labels_are_a_reason_to_train_again_and_none_are_not(go, label_orders):
    first, _ = go(changes=FEW)
    label_orders(20, 0)
    second, ran = go(changes=FEW)
    assert second.record.key != first.record.key and ran == list(STEPS)
    again, ran = go(changes=FEW)
    assert (again.record.key, ran) == (second.record.key, [])
    label_orders(1, 100)
    assert go(changes=FEW)[0].record.key not in (first.record.key, second.record.key)


def test_another_label_for_the_same_row_is_a_new_label(go, label_orders):
    ids = label_orders(20, 0)
    first, _ = go(changes=FEW)
    log = ProductionLog(settings(), from_usecase(load("orders")))
    log.labelled(ids[:1], ["no"], sent=2e6)
    assert go(changes=FEW)[0].record.key == first.record.key
    log.labelled(ids[:1], ["yes"], sent=3e6)
    assert go(changes=FEW)[0].record.key != first.record.key


def test_fewer_labels_than_are_used_and_predictions_without_one_are_no_reason(go, label_orders):
    first, _ = go()
    label_orders(20, 0)
    assert go()[0].record.key == first.record.key


def test_an_unfinished_run_keeps_its_cut_off_whatever_is_labelled_since(go, label_orders):
    first, _ = go(until="production", changes=FEW)
    label_orders(20, 0)
    second, _ = go(changes=FEW)
    assert second.record == first.record and second.record.cutoff is not None


def test_the_quick_loop_asks_no_registry_and_is_a_run_of_its_own(go, monkeypatch):
    registered, _ = go()
    monkeypatch.setattr(runs, "observe_baseline", lambda name: pytest.fail("asked the registry"))
    quick, _ = go(register=False)
    assert quick.record.key != registered.record.key
    assert quick.record.cutoff is None
    assert go(register=False)[0].finished_before


def test_a_failed_step_leaves_its_files_aside_and_is_done_again(go, usecase, orders, capsys):
    found = usecase(orders)

    def fail(out: Path) -> None:
        (out / "why.txt").write_text("because")
        raise DataError("wrong")

    with pytest.raises(DataError), open_run(found, {}, register=False, fresh=False) as run:
        run.step("ingest", fail)
    failed = run.paths.root / "ingest.failed"
    assert (failed / "why.txt").exists() and not run.paths.ingest.exists()
    assert str(failed) in capsys.readouterr().err
    assert go(register=False)[1][0] == "ingest"


def test_a_run_of_another_release_is_left_alone(go, var):
    (var / "runs" / "old").mkdir(parents=True)
    (var / "runs" / "old" / "run.json").write_text('{"usecase": "orders", "shape": "unknown"}')
    assert go()[0].finished


def _hold(name: str, ready, done) -> None:
    with training_lock(name):
        ready.set()
        done.wait(20)


def test_a_second_training_is_refused_and_a_dead_one_does_not_block(go, var):
    go(until="clean")
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=("orders", ready, done))
    other.start()
    assert ready.wait(20)
    with pytest.raises(RunLocked, match=rf"process {other.pid}, since .*Wait for it"):
        go()
    other.kill()
    other.join()
    assert go()[0].finished


def age(run: Run, days: int) -> None:
    """Pretend that the run was made so many days ago."""
    created = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="microseconds")
    msgspec.structs.replace(run.record, created=created).write_file(run.paths.root / RunRecord.FILE)


def test_old_finished_runs_are_removed_but_the_last_ones_and_unfinished_ones(go):
    old, unfinished, aside = go()[0], go(until="train", changes={"epochs": "3"})[0], go(register=False)[0]
    recent = go(fresh=True)[0]
    for run in (old, unfinished, aside):
        age(run, 91)
    age(recent, 89)
    remains = settings().runs / "begun"
    (remains / "ingest").mkdir(parents=True)
    os.utime(remains, (0, 0))
    last = go(fresh=True)[0]
    left = {path for path in settings().runs.iterdir() if path.is_dir()}
    assert left == {run.paths.root for run in (unfinished, aside, recent, last)}


def test_no_run_is_removed_where_results_are_kept_for_ever(go, monkeypatch):
    monkeypatch.setenv("SLIPWAY_KEEP_RESULTS_DAYS", "0")
    settings.cache_clear()
    old = go()[0]
    age(old, 4000)
    go(fresh=True)
    assert old.paths.root.exists()
