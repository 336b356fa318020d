"""Canary routing: a share of the units, the same ones while it grows, others for another version."""

from __future__ import annotations

from bentos.executor.canary_routing import bucket, routes_to_canary, routing_unit

UNITS = [b"user-%d" % number for number in range(4000)]


def test_a_unit_stays_with_the_canary_while_its_weight_grows():
    for unit in UNITS[:200]:
        answers = [routes_to_canary("7", unit, weight) for weight in (0, 5, 25, 50, 100)]
        assert answers == sorted(answers)
        assert answers[0] is False
        assert answers[-1] is True


def test_the_share_is_the_weight():
    for weight in (5, 25, 50):
        share = sum(routes_to_canary("7", unit, weight) for unit in UNITS) / len(UNITS) * 100
        assert abs(share - weight) < 3, f"{share} % at a weight of {weight} %"


def test_another_version_assigns_the_units_anew():
    first = {unit for unit in UNITS if routes_to_canary("7", unit, 25)}
    second = {unit for unit in UNITS if routes_to_canary("8", unit, 25)}
    assert 0.15 < len(first & second) / len(first) < 0.35


def test_the_salt_of_a_rollout_assigns_the_units_anew_so_that_nobody_computes_who_goes_first():
    computed = {unit for unit in UNITS if routes_to_canary("7", unit, 25)}
    for salt in (b"a", b"0" * 64):
        chosen = {unit for unit in UNITS if routes_to_canary("7", unit, 25, salt)}
        assert abs(len(chosen) / len(UNITS) - 0.25) < 0.03
        assert 0.15 < len(computed & chosen) / len(computed) < 0.35
        assert chosen == {unit for unit in UNITS if routes_to_canary("7", unit, 25, salt)}
        assert chosen < {unit for unit in UNITS if routes_to_canary("7", unit, 50, salt)}


def test_version_and_unit_are_hashed_without_ambiguity():
    assert bucket("1", b"1x") != bucket("11", b"x")


def test_without_the_callers_unit_each_request_is_its_own():
    assert routing_unit({"headers": [(b"x-slipway-unit", b"ann")]}, "uuid") == b"ann"
    assert routing_unit({"headers": [(b"x-slipway-unit", b""), (b"host", b"a")]}, "uuid") == b"uuid"
