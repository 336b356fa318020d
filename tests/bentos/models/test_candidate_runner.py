"""The candidates' thread: what it accepts, what it refuses at once, and how its CPU use is limited."""

from __future__ import annotations

import threading
import time

import pytest

from bentos.models.candidate_runner import MAX_BYTES, MAX_JOBS, CandidateRunner
from tests.support.waiting import until


class Task:
    """Task that runs until it is released, or for some seconds."""

    def __init__(self, size: int = 1, seconds: float = 20.0, caller: str | None = None) -> None:
        self.size, self.late, self.caller = size, False, caller
        self.begun, self.go = threading.Event(), threading.Event()
        self._seconds = seconds

    def run(self) -> None:
        self.begun.set()
        self.go.wait(self._seconds)


@pytest.fixture
def runner():
    made = CandidateRunner(None, "side")
    yield made
    made.close()


def occupied(runner: CandidateRunner) -> Task:
    task = Task()
    assert runner.submit(task)
    assert task.begun.wait(5)
    return task


def test_a_full_queue_accepts_nothing_until_a_task_is_done(runner):
    running = occupied(runner)
    waiting = [Task(seconds=0) for _ in range(MAX_JOBS)]
    assert all(runner.submit(task) for task in waiting)
    assert not runner.submit(Task())
    running.go.set()
    assert waiting[-1].begun.wait(5)
    assert runner.submit(Task(seconds=0))


def test_large_bodies_are_bounded_in_total_and_a_single_one_is_accepted(runner):
    running = occupied(runner)
    assert not runner.submit(Task(MAX_BYTES))
    assert runner.submit(Task(MAX_BYTES // 2, 0))
    assert not runner.submit(Task(MAX_BYTES // 2 + 1))
    running.go.set()
    alone = Task(2 * MAX_BYTES, 0)
    deadline = time.monotonic() + 5
    while not runner.submit(alone):
        assert time.monotonic() < deadline
    assert alone.begun.wait(5)


@pytest.mark.parametrize(("size", "most"), [(1, MAX_JOBS // 2), (MAX_BYTES // 8, 4), (MAX_BYTES // 2 - 1, 1)])
def test_one_caller_makes_the_model_busy_for_itself_only(runner, size, most):
    running = occupied(runner)
    sent = [Task(size, 0, "mallory") for _ in range(MAX_JOBS)]
    accepted = [task for task in sent if runner.submit(task)]
    assert len(accepted) == most
    others = [Task(1, 0, caller) for caller in ("shop", None)]
    assert all(runner.submit(task) for task in others)
    running.go.set()
    assert others[-1].begun.wait(5)
    until(lambda: not runner._held)
    assert runner.submit(Task(size, 0, "mallory"))


def test_while_a_task_is_past_its_deadline_nothing_is_queued_after_it(runner):
    running = occupied(runner)
    running.late = True
    assert not runner.submit(Task())
    running.go.set()


def test_a_closed_runner_finishes_its_tasks_and_ends(runner):
    running, waiting = occupied(runner), Task(seconds=0)
    runner.submit(waiting)
    runner.close()
    assert not runner.submit(Task())
    running.go.set()
    assert runner.drain(5) == 0
    assert waiting.begun.is_set()


def test_a_task_that_never_ends_is_abandoned_and_the_waiting_ones_are_counted(runner):
    running = occupied(runner)
    for _ in range(3):
        runner.submit(Task())
    runner.close()
    assert runner.drain(0.05) == 3
    running.go.set()


def test_a_throttled_runner_uses_a_quarter_of_the_time():
    runner = CandidateRunner(None, "resting", throttle=3.0)
    started = time.monotonic()
    tasks = [Task(seconds=0.02) for _ in range(10)]
    for task in tasks:
        runner.submit(task)
    assert tasks[-1].begun.wait(20)
    assert time.monotonic() - started > 9 * 4 * 0.02
    runner.close()


class Clock:
    """Stand-in for `time`: each second of sleep uses so much CPU time."""

    def __init__(self, busy: float) -> None:
        self.now, self.busy = 0.0, busy

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now * self.busy

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("busy", "least", "most"), [(0.0, 0.039, 0.0391), (0.9, 0.389, 0.4), (1.6, 1.0, 1.0)])
def test_a_busy_process_is_left_more_time(monkeypatch, busy, least, most):
    """Rest 39 idle milliseconds for one of work, or a second if the process is never idle."""
    clock = Clock(busy)
    made = CandidateRunner(None, "resting", throttle=39.0)
    monkeypatch.setattr("bentos.models.candidate_runner.time", clock)
    made._throttle_after(0.001)
    assert least <= clock.now <= most + 1e-9
    made.close()
