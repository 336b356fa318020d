"""The cache: off by default, exact, bounded, and empty after a swap."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from bentos.models import load
from bentos.models.output_cache import MAX_ENTRIES, OutputCache
from slipway.config import Serving
from tests.support import bundles

ROWS = bundles.ROWS["loans"]
HEADER = "x-slipway-cache"


class Network:
    """Stand-in for the network: each row's output is its sum; `batch_sizes` are the numbers of rows of its runs."""

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def __call__(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        rows = next(iter(feeds.values()))
        self.batch_sizes.append(len(rows))
        return sum(values.astype(np.float32).sum(axis=1, keepdims=True) for values in feeds.values())


def feeds(*rows: tuple[float, float]) -> dict[str, np.ndarray]:
    numbers = np.array(rows, np.float32)
    return {"numbers": numbers, "codes": numbers.astype(np.int64)}


class TestCache:
    def test_a_row_is_computed_once(self):
        network, cache = Network(), OutputCache(10, "d")
        first = cache.run(feeds((1, 2), (3, 4)), network)
        again = cache.run(feeds((3, 4), (1, 2)), network)
        assert (first.hits, again.hits) == ([False, False], [True, True])
        assert again.outputs.tolist() == first.outputs[::-1].tolist()
        assert network.batch_sizes == [2]

    def test_only_missing_rows_are_computed_and_all_keep_their_order(self):
        network, cache = Network(), OutputCache(10, "d")
        cache.run(feeds((3, 4)), network)
        found = cache.run(feeds((1, 2), (3, 4), (5, 6)), network)
        assert found.hits == [False, True, False]
        assert found.outputs.tolist() == Network()(feeds((1, 2), (3, 4), (5, 6))).tolist()
        assert network.batch_sizes == [1, 2]

    def test_the_most_recently_used_rows_stay(self):
        network, cache = Network(), OutputCache(2, "d")
        for row in ((1, 1), (2, 2), (1, 1), (3, 3)):
            cache.run(feeds(row), network)
        assert len(cache) == 2
        assert cache.run(feeds((1, 1)), network).hits == [True]
        assert cache.run(feeds((2, 2)), network).hits == [False]

    def test_a_request_larger_than_the_cache_does_not_outgrow_it(self):
        network, cache = Network(), OutputCache(3, "d")
        rows = [(float(k), 0.0) for k in range(50)]
        assert cache.run(feeds(*rows), network).outputs.tolist() == network(feeds(*rows)).tolist()
        assert len(cache) == 3

    def test_cached_outputs_are_copies_and_no_views_of_a_batch(self):
        cache, network = OutputCache(2, "d"), Network()
        first = cache.run(feeds((1, 2), (3, 4)), network).outputs
        first[:] = 99
        assert cache.run(feeds((1, 2)), network).outputs.tolist() == [[6.0]]
        assert all(row.base is None for row in cache._rows.values())

    def test_similar_inputs_are_cached_separately(self):
        network, cache = Network(), OutputCache(10, "d")
        one = {"codes": np.array([[1, 2]], np.int64), "numbers": np.array([[3]], np.float32)}
        two = {"codes": np.array([[1, 3]], np.int64), "numbers": np.array([[2]], np.float32)}
        assert cache.run(one, network).hits == cache.run(two, network).hits == [False]

    def test_a_failed_run_is_not_cached(self):
        cache = OutputCache(10, "d")

        def fail(_: Any) -> np.ndarray:
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            cache.run(feeds((1, 2)), fail)
        assert len(cache) == 0

    def test_threads_share_it(self):
        cache, wrong = OutputCache(50, "d"), []

        def run_at_random(seed: int) -> None:
            chance, network = np.random.default_rng(seed), Network()
            for _ in range(300):
                rows = feeds(*chance.integers(0, 9, (4, 2)).tolist())
                if cache.run(rows, network).outputs.tolist() != network(rows).tolist():
                    wrong.append(rows)

        threads = [threading.Thread(target=run_at_random, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong and len(cache) == 50

    def test_a_use_case_may_cache_as_many_entries_as_the_server_allows(self):
        assert Serving(cache=MAX_ENTRIES).cache == MAX_ENTRIES
        with pytest.raises(ValueError):
            Serving(cache=MAX_ENTRIES + 1)


class TestServer:
    def test_it_is_off_by_default(self, start_client):
        client = start_client()
        assert client.worker.served["loans"].live.cache is None
        assert HEADER not in client.predict(ROWS[0]).headers
        assert client.events()[0]["slipway"]["cached"] is False
        assert Serving().cache == 0

    def test_a_hit_is_marked_in_the_answer_and_in_the_event(self, start_client):
        client = start_client(serving={"cache": 100})
        first, second = client.predict(ROWS[0]), client.predict(ROWS[0])
        mixed = client.predict(ROWS[1], ROWS[0])
        assert [answer.headers[HEADER] for answer in (first, second, mixed)] == ["miss", "hit", "partial"]
        assert [event["slipway"]["cached"] for event in client.events()] == [False, True, False, True]

    def test_a_hit_is_the_same_answer_with_an_id_of_its_own(self, start_client):
        client = start_client(serving={"cache": 100})
        first, second = (client.predict(ROWS[0]).json["predictions"][0] for _ in range(2))
        assert first.pop("id") != second.pop("id")
        assert first == second

    def test_a_hit_has_warnings_too(self, start_client):
        client = start_client(serving={"cache": 100})
        answers = [client.predict(ROWS[0] | {"age": 500.0}).json for _ in range(2)]
        assert answers[0]["warnings"] == answers[1]["warnings"] != []

    def test_keys_do_not_matter_and_values_do(self, start_client):
        client = start_client(serving={"cache": 100})
        client.predict(ROWS[0], keys=["a"])
        assert client.predict(ROWS[0], keys=["b"]).headers[HEADER] == "hit"
        assert client.predict(ROWS[0] | {"age": 20.5}).headers[HEADER] == "miss"

    def test_images_are_cached_by_their_pixels(self, start_client):
        client = start_client(bundles.IMAGES, serving={"cache": 100})
        row = bundles.probe_rows(bundles.IMAGES)[0]
        found = [client.predict(row, usecase=bundles.IMAGES.usecase).headers[HEADER] for _ in range(2)]
        assert found == ["miss", "hit"]

    def test_a_swap_empties_it(self, start_client, var, tmp_path):
        client = start_client(serving={"cache": 100})
        client.predict(ROWS[0])
        old = client.worker.served["loans"].live
        bundles.promote(var, tmp_path / "two", version="2", bias=0.3, serving={"cache": 100})
        deadline = time.monotonic() + 20
        while client.worker.served["loans"].live is old:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        answer = client.predict(ROWS[0])
        assert (answer.headers[HEADER], answer.json["model"]["version"]) == ("miss", "2")

    def test_an_answer_without_predictions_has_no_cache_header(self, start_client):
        client = start_client(serving={"cache": 100})
        answer = client.predict({"age": "old"})
        assert (answer.status, HEADER in answer.headers) == (422, False)


def test_the_probe_is_not_in_the_cache_of_a_model_that_begins(tmp_path):
    bundles.write(tmp_path / "bundle", serving={"cache": 100})
    assert len(load(tmp_path / "bundle", "loans").cache) == 0
