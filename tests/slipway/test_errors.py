from __future__ import annotations

import time

import pytest

from slipway.errors import suggestion

NAMES = [f"feature_{number}" for number in range(20)]


def test_a_name_that_is_near_is_suggested():
    assert suggestion("fature_7", NAMES) == " Did you mean 'feature_7'?"
    assert suggestion("anything else", NAMES) == ""


@pytest.mark.parametrize("received", ["feature_" * 2_000_000, "feature_1" + "\n" * 10_000_000, "ﬀ" * 5_000_000])
@pytest.mark.parametrize("allowed", [NAMES, [name * 100 for name in NAMES], (f"n{number}" for number in range(10**6))])
def test_what_is_received_is_compared_in_time_however_long_it_is(received, allowed):
    began = time.process_time()
    suggestion(received, allowed)
    assert time.process_time() - began < 1
