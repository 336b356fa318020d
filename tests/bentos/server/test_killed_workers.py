"""Workers killed under load for a minute: each answered prediction is logged once, and workers are restarted."""

from __future__ import annotations

import os
import signal
import time

from slipway.serving_state.observed import WorkerState
from tests.bentos.server.processes import Load, Server, logged_ids
from tests.support import bundles

WORKERS = 4  # the supervisor checks every 10 s, and a start takes 5: with two workers there would at times be none
SECONDS = 60.0
KILL_SECONDS = 5.0
RATE, CONNECTIONS = 50, 8
NOTICED_SECONDS = 2.0  # the next request on a connection shows that it is broken; each sends one every 160 ms


def test_every_answer_is_in_the_log_once_and_only_the_killed_workers_connections_break(serve, var, tmp_path):
    bundles.promote(var, tmp_path / "one")
    server = serve("loans", workers=WORKERS)
    first = set(server.workers())
    with Load(server, "loans", bundles.ROWS["loans"][0], RATE, CONNECTIONS) as load:
        end = time.monotonic() + SECONDS
        kills = []
        while time.monotonic() < end:
            kills.append(kill_one(server))
        server.wait_for(lambda: len(serving(server)) == WORKERS, 60)
    assert len(kills) >= 2 * WORKERS, "each, and those that came for them"
    assert load.failed == []
    assert len(load.answered) > 0.5 * RATE * SECONDS
    of_kills = [[moment for moment in load.breaks if 0 <= moment - kill < NOTICED_SECONDS] for kill in kills]
    assert sum(map(len, of_kills)) == load.broken
    assert max(map(len, of_kills)) <= CONNECTIONS

    logged = logged_ids(var)
    assert [identity for identity in load.ids if logged[identity] != 1] == []
    assert len(logged) <= len(load.answered) + load.broken, "nothing but what was cut off is there besides"
    assert set(logged.values()) == {1}
    assert not first & set(server.workers())

    lost = len(load.answered) - server.metric("slipway_requests_total", route="predict", code="200")
    assert -load.broken <= lost <= len(kills) * RATE, "a killed worker may take its last counts with it"


def kill_one(server: Server) -> float:
    """Wait, kill the longest-serving worker unless it is the only one that serves, and return the time of the kill."""
    time.sleep(KILL_SECONDS)
    server.wait_for(lambda: len(serving(server)) > 1, 60)
    victim = min(serving(server), key=lambda state: state.since).pid
    killed = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    server.wait_for(lambda: victim not in [state.pid for state in serving(server)])
    return killed


def serving(server: Server) -> list[WorkerState]:
    return [state for state in server.states() if state.serving]
