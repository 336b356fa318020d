from __future__ import annotations

import pytest

from monitoring.analysis.caller_groups import MOST_GROUPS, caller_groups, describe_group


@pytest.mark.parametrize("callers", [[], [""], ["one"] * 50])
def test_a_single_caller_has_no_group_for_nothing_would_be_left(callers: list[str]) -> None:
    assert caller_groups(callers) == []


@pytest.mark.parametrize("number", [2, MOST_GROUPS])
def test_few_callers_are_left_out_one_by_one(number: int) -> None:
    assert caller_groups(f"{k:02d}" for k in range(number)) == [(f"{k:02d}",) for k in range(number)]


@pytest.mark.parametrize("number", [MOST_GROUPS + 1, 1000])
def test_many_callers_are_in_16_groups_at_most_each_in_one_that_no_other_caller_changes(number: int) -> None:
    callers = [f"{k:032x}" for k in range(number)]
    groups = caller_groups(callers)
    assert 1 < len(groups) <= MOST_GROUPS
    assert sorted(name for group in groups for name in group) == callers
    more = caller_groups([*callers, "another"])
    assert all(any(set(group) <= set(other) for other in more) for group in groups)


def test_a_caller_without_a_credential_is_named_so() -> None:
    assert describe_group(("",)) == "caller without a credential"
    assert describe_group(("", "ab")) == "caller without a credential and 1 other"
