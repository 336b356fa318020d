"""Batches are used where they are measured to be faster, and the server reports the measurement."""

from __future__ import annotations

import numpy as np
import pytest

from bentos.models import batch_size
from bentos.models.batch_size import measure_batch_size
from tests.support import bundles

ROWS = {"numbers": np.arange(10, dtype=np.float32).reshape(5, 2)}


class Network:
    """A network and a simulated clock: a run of n rows takes `seconds(n)`."""

    def __init__(self, seconds) -> None:
        self.now = 0.0
        self.largest = 0
        self._seconds = seconds

    def __call__(self, feeds) -> np.ndarray:
        count = len(feeds["numbers"])
        self.largest = max(self.largest, count)
        self.now += self._seconds(count)
        return feeds["numbers"] * 2

    def chosen(self, deadline: float = 1.0) -> batch_size.BatchSize:
        return measure_batch_size(self, ROWS, deadline, lambda: self.now)


def test_a_network_with_constant_run_time_gets_the_largest_batches():
    found = Network(lambda n: 0.001).chosen()
    assert (found.size, found.gain, found.wait_ms) == (32, 32.0, 0)


def test_the_smallest_size_that_is_nearly_as_good_as_the_best_is_chosen():
    found = Network(lambda n: 0.0002 * max(1, n / 4)).chosen()
    assert (found.size, found.gain) == (4, 4.0)


def test_less_than_a_fifth_is_not_worth_a_batch():
    found = Network(lambda n: 0.0001 + 0.0009 * n).chosen()
    assert found.size == 1
    assert found.gain == pytest.approx(1.11, abs=0.01)
    assert "1.2 is needed" in found.reason


def test_a_batch_takes_a_small_part_of_the_deadline():
    found = Network(lambda n: 0.004 + 0.001 * n).chosen(deadline=0.1)
    assert found.size == 4


def test_a_slow_network_is_not_tried_for_long():
    network = Network(lambda n: 2.0 * n)
    assert network.chosen(deadline=60.0).size == 1
    assert network.largest == 1


@pytest.mark.parametrize("one", [1e-5, 1e-4, 1e-3, 5e-3, 0.019])
@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_measuring_takes_a_bounded_time(one, shared):
    network = Network(lambda n: one * (shared + (1 - shared) * n))
    network.chosen(deadline=60.0)
    assert network.now < 2 * batch_size.MAX_SECONDS


def test_a_network_whose_rows_are_not_independent_is_never_given_several():
    found = measure_batch_size(lambda feeds: feeds["numbers"] - feeds["numbers"].mean(axis=0), ROWS, 1.0)
    assert (found.size, found.gain) == (1, None)


def test_a_network_for_one_row_at_a_time_is_never_given_several():
    def run(feeds) -> np.ndarray:
        if len(feeds["numbers"]) != 1:
            raise RuntimeError("Got invalid dimensions for input")
        return feeds["numbers"]

    assert measure_batch_size(run, ROWS, 1.0).size == 1


def test_the_model_route_shows_the_batch_size_and_its_reason(start_client, monkeypatch):
    client = start_client(bundles.TABULAR, bundles.IMAGES)
    assert "less time than a queue" in client.get("/v1/models/loans").json["batching"]["reason"]
    assert client.get("/v1/models/shapes").json["batching"].keys() == {"size", "gain", "wait_ms", "reason"}


def test_batches_are_switched_off_by_the_setting_and_by_a_cache(start_client, monkeypatch):
    cached = start_client(bundles.IMAGES, serving={"cache": 10})
    assert "cache" in cached.get("/v1/models/shapes").json["batching"]["reason"]
    monkeypatch.setenv("SLIPWAY_BATCHING", "off")
    off = start_client(bundles.IMAGES, promote=False)
    assert off.get("/v1/models/shapes").json["batching"] == {
        "size": 1,
        "reason": "SLIPWAY_BATCHING is off",
        "gain": None,
        "wait_ms": 0,
    }
