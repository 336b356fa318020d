"""Error rates and speed of rollouts: `make bench` writes the table in docs/explanation/rollout-statistics.md.

Made-up traffic goes through the product's own tests, limits and stages (monitoring.rollout.sequential_tests,
monitoring.rollout), a thousand rollouts at a time, with a look every five seconds as `slipway watch` takes them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks.pages import write
from benchmarks.statistics.drift import Rate
from monitoring.rollout import sequential_tests
from monitoring.rollout.decision import HARMFUL, OPEN, Progress, allowance, choose_action, is_required, verdict
from monitoring.rollout.policy import Policy, PolicySlice
from monitoring.rollout.sequential_tests import Sample
from pipelines.gates.comparison import window
from slipway.config import Canary
from slipway.evaluation.metrics import METRICS, Scored

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "rollout-statistics.md"
LOOK_SECONDS = 5.0
RATE = 100.0  # requests a second
LABELS = 0.2  # of the answers, labelled at once
MOST_MINUTES = 120.0
WINDOW_ROWS = 500
PARTS = (
    PolicySlice("age", ("< 25", "25 – 40", "≥ 40"), (25.0, 40.0)),
    PolicySlice("housing", ("rent", "own", "for free")),
)
POLICY = Policy(Canary(), ("good", "bad"), "bad", slices=PARTS)
_BINS = 50
_SLICE = "loss where age is < 25"


@dataclass(frozen=True)
class World:
    """What is true of the canary; the champion is as the defaults say. `loss` is that of the slice that goes wrong.

    0.2 % of the requests fail, 3 % take longer than three times the median, a fifth of the labels is missed.
    """

    name: str
    errors: float = 0.002
    slow: float = 0.03
    loss: float = 0.2
    constant: bool = False


CHAMPION = World("champion")
EQUAL = World("equal to the champion")
HARMFUL_WORLDS = (
    World("5 % errors", errors=0.05),
    World("3 % errors", errors=0.03),
    World("1.2 % errors: twice the excess that is allowed", errors=0.012),
    World("5 × the model's time", slow=0.95),
    World("one score for everybody", constant=True),
    World("one slice in three: loss 0.7 instead of 0.2", loss=0.7),
)


@dataclass
class Outcome:
    """Of each rollout: how it ended ("back", "finish", or "stay" after two hours), after how many seconds, the share of
    requests that the canary was chosen for by then, and its labels in the slice that goes wrong."""

    ends: np.ndarray
    seconds: np.ndarray
    share: np.ndarray
    labels: np.ndarray


class Side:
    """Counts of canary or champion in many rollouts at once: of each test [runs], of scores [runs, bins]."""

    def __init__(self, world: World, runs: int, rng: np.random.Generator) -> None:
        self._world, self._rng = world, rng
        tests = ["errors", "time", "loss", *(f"loss where {p.feature} is {value}" for p in PARTS for value in p.values)]
        self.n = {test: np.zeros(runs) for test in tests}
        self.total = {test: np.zeros(runs) for test in tests}
        self.scores = np.zeros((runs, _BINS))

    def answer(self, requests: np.ndarray) -> None:
        """So many more in each run."""
        rng, world = self._rng, self._world
        failed = rng.binomial(requests, world.errors)
        self._add("errors", requests, failed)
        ran = requests - failed
        self._add("time", ran, rng.binomial(ran, world.slow))
        if world.constant:
            self.scores[:, _BINS // 2] += ran
        else:
            self.scores += rng.multinomial(ran, _shares(_BINS))
        labelled = rng.binomial(ran, LABELS)
        for part in PARTS:
            self._label(part, labelled, part is PARTS[0])

    def sample(self, test: str) -> Sample:
        return Sample(self.n[test], self.total[test])

    def _label(self, part: PolicySlice, labelled: np.ndarray, with_all: bool) -> None:
        rows = self._rng.multinomial(labelled, [1 / len(part.values)] * len(part.values))
        for k, value in enumerate(part.values):
            test = f"loss where {part.feature} is {value}"
            share = self._world.loss if test == _SLICE else CHAMPION.loss
            wrong = self._rng.binomial(rows[:, k], share)
            self._add(test, rows[:, k], wrong)
            if with_all:
                self._add("loss", rows[:, k], wrong)

    def _add(self, test: str, n: np.ndarray, total: np.ndarray) -> None:
        self.n[test] += n
        self.total[test] += total


def _shares(bins: int) -> np.ndarray:
    """Draw scores as a model gives them: few of them high."""
    weights = np.exp(-np.linspace(0, 3, bins))
    return weights / weights.sum()


def rollouts(world: World, runs: int, seed: int, policy: Policy = POLICY) -> Outcome:
    """Simulate as many rollouts of such a canary."""
    rng = np.random.default_rng(seed)
    canary, champion = Side(world, runs, rng), Side(CHAMPION, runs, rng)
    weight, since = np.full(runs, float(policy.canary.stages[0])), np.zeros(runs)
    in_stage, requests = np.zeros(runs), np.zeros(runs)
    found = Outcome(np.full(runs, "stay", "U6"), np.zeros(runs), np.zeros(runs), np.zeros(runs))
    for look in range(1, int(MOST_MINUTES * 60 / LOOK_SECONDS) + 1):
        going = found.ends == "stay"
        if not going.any():
            break
        came = np.where(going, rng.poisson(RATE * LOOK_SECONDS, runs), 0)
        chosen = rng.binomial(came, weight / 100)
        canary.answer(chosen)
        champion.answer(came - chosen)
        requests, in_stage = requests + came, in_stage + chosen
        harmful, unproven = test_outcomes(canary, champion, policy)
        for run in np.flatnonzero(going):
            minutes = (look * LOOK_SECONDS - since[run]) / 60
            progress = Progress(weight[run], int(in_stage[run]), minutes, int(canary.n["loss"][run]))
            step = choose_action(policy, progress, bool(harmful[run]), ["evidence"] if unproven[run] else [])
            if step == "on":
                weight[run], since[run], in_stage[run] = policy.next_stage(weight[run]), look * LOOK_SECONDS, 0
            elif step != "stay":
                found.ends[run], found.seconds[run] = step, look * LOOK_SECONDS
                found.share[run] = canary.n["errors"][run] / requests[run]
                found.labels[run] = canary.n[_SLICE][run]
    return found


def test_outcomes(canary: Side, champion: Side, policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    """Tell for each run whether a test shows harm, and whether a test that must show safety does not."""
    results = {}
    for test in canary.n:
        bounds = sequential_tests.difference(canary.sample(test), champion.sample(test), policy.alpha(test))
        results[test] = verdict(bounds.low, bounds.high, allowance(test, policy))
    sides = [side.scores for side in (canary, champion)]
    new, old = (scores.sum(axis=1) for scores in sides)
    shares = [scores.cumsum(axis=1) / np.maximum(scores.sum(axis=1, keepdims=True), 1) for scores in sides]
    bounds = sequential_tests.shift(np.abs(shares[0] - shares[1]).max(axis=1), new, old, policy.alpha("scores"))
    results["scores"] = verdict(bounds.low, bounds.high, policy.canary.max_score_shift or 1.0)
    harmful = np.any([found == HARMFUL for found in results.values()], axis=0)
    unproven = np.any([found == OPEN for test, found in results.items() if is_required(test)], axis=0)
    return harmful, unproven


def passes_the_window(seed: int) -> bool:
    """Tell whether the gate passes a challenger that is no better: both see the same signal with their own noise."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(WINDOW_ROWS) < 0.3).astype(int)

    def model() -> Scored:
        score = 1 / (1 + np.exp(-(1.2 * (2 * truth - 1) + rng.normal(0, 1.3, WINDOW_ROWS))))
        return Scored(truth, np.column_stack([1 - score, score]), (score > 0.5).astype(int), 1)

    new, old = model(), model()
    gates = SimpleNamespace(window_margin=0.0)
    given = {"comparable": True, "window": "the window", "usecase": SimpleNamespace(gates=gates)}
    answers = {
        "score_challenger": lambda _: new,
        "score_champion": lambda _: old,
        "metric": METRICS["binary"]["roc_auc"],
    }
    return not any(gate.failed for gate in window(SimpleNamespace(**given, **answers)))


def tables(pool: ProcessPoolExecutor, runs: int) -> Iterator[str]:
    """Yield the benchmark's Markdown, line by line as it is measured."""
    tests = len(Side(EQUAL, 1, np.random.default_rng(0)).n) + 1
    yield (
        f"{runs:,} rollouts a row, {RATE:g} requests a second, labels for {100 * LABELS:g} % of the answers at once, "
        f"a look every {LOOK_SECONDS:g} s, {tests} tests, the default limits. Rates with their exact (Clopper–Pearson) "
        "95 % interval."
    )
    yield ""
    yield "| canary | taken back | became champion | no end in two hours |"
    yield "| --- | ---: | ---: | ---: |"
    worlds = (EQUAL, *HARMFUL_WORLDS)
    outcomes = dict(zip(worlds, pool.map(rollouts, worlds, [runs] * len(worlds), range(len(worlds))), strict=True))
    for world, found in outcomes.items():
        rates = [str(Rate(int(np.sum(found.ends == end)), runs)) for end in ("back", "finish", "stay")]
        yield f"| {world.name} | {' | '.join(rates)} |"
    yield ""
    yield (
        "| canary | taken back after (median) | 95 % within | 95 % within labels of the slice "
        "| mean share of requests until then |"
    )
    yield "| --- | ---: | ---: | ---: | ---: |"
    for world in HARMFUL_WORLDS:
        yield _soon(world, outcomes[world])
    yield ""
    passed = list(pool.map(passes_the_window, range(runs), chunksize=20))
    promoted = outcomes[EQUAL].ends == "finish"
    yield "| challengers that are no better | |"
    yield "| --- | ---: |"
    yield f"| pass the gate on the newest labelled window of {WINDOW_ROWS} rows | {Rate(sum(passed), runs)} |"
    both = int(np.sum(np.array(passed) & promoted))
    yield f"| pass it and then the rollout: become champion | {Rate(both, runs)} |"


def _soon(world: World, found: Outcome) -> str:
    back = found.ends == "back"
    seconds, share = found.seconds[back], 100 * found.share[back]
    labels = f"{np.quantile(found.labels[back], 0.95):.0f}" if world.loss != CHAMPION.loss else ""
    return (
        f"| {world.name} | {np.median(seconds):.0f} s | {np.quantile(seconds, 0.95):.0f} s | {labels} | "
        f"{np.mean(share):.1f} % |"
    )


def main() -> None:
    """Run the benchmark and write its tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000, help="rollouts of each kind (default: 1,000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one per core)")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the tables into")
    options = parser.parse_args()
    started, lines = time.monotonic(), []
    with ProcessPoolExecutor(options.jobs) as pool:
        for line in tables(pool, options.runs):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            lines.append(line)
    write(lines, options.page)
    sys.stdout.write(f"\n{time.monotonic() - started:.0f} s; written to {options.page}\n")


if __name__ == "__main__":
    main()
