from __future__ import annotations

import pytest

from slipway.contracts.registry_names import ALIASES, lookalikes


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_in_other_letters_is_no_alias_of_ours(alias: str) -> None:
    others = [alias.upper(), alias.capitalize()]
    assert lookalikes([alias, *others, f"{alias}s", "best"]) == dict.fromkeys(sorted(others), alias)


def test_the_alias_that_servers_are_set_to_follow_is_ours() -> None:
    assert lookalikes(["Stable", "stable"], "Stable") == {"stable": "Stable"}
    assert lookalikes(["Champion"], "Champion") == {}
