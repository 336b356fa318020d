from __future__ import annotations

from slipway.system.backoff import Backoff, pause


def test_pauses_double_up_to_a_bound_and_are_never_equal():
    assert all(1.0 <= pause(2, 0.5, 60.0) <= 2.0 for _ in range(100))
    assert all(30.0 <= pause(1000, 0.5, 60.0) <= 60.0 for _ in range(100))
    assert len({pause(3, 0.5, 60.0) for _ in range(100)}) > 90


def test_a_server_is_left_alone_for_longer_each_time_until_it_takes_something():
    clock = [100.0]
    backoff = Backoff(1.0, 60.0, lambda: clock[0])
    assert backoff.remaining == 0.0
    for bound in (1.0, 2.0, 4.0):
        backoff.failed()
        assert bound / 2 <= backoff.remaining <= bound
        clock[0] += bound
        assert backoff.remaining == 0.0
    backoff.succeeded()
    backoff.failed()
    assert backoff.remaining <= 1.0
