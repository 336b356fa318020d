"""Groups of callers, each left out once: a result that holds without each of them depends on no single caller."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from zlib import crc32

MOST_GROUPS = 16

CallerGroup = tuple[str, ...]


def caller_groups(callers: Iterable[str]) -> list[CallerGroup]:
    """Divide callers into groups: one for each, or 16 by a checksum of their ids, so that the work is bounded.

    A group never depends on what its callers sent. There are none for a single caller: nothing would be left of it.
    """
    names = sorted(set(callers))
    if len(names) < 2:
        return []
    groups = defaultdict(list)
    for number, name in enumerate(names):
        groups[number if len(names) <= MOST_GROUPS else crc32(name.encode()) % MOST_GROUPS].append(name)
    return [tuple(group) for _, group in sorted(groups.items())]


def describe_group(group: CallerGroup) -> str:
    """Name the callers by their ids in the log.

    >>> describe_group(("ab", "cd", "ef"))
    'caller ab and 2 others'
    """
    first, *others = (name or "without a credential" for name in group)
    more = {0: "", 1: " and 1 other"}.get(len(others), f" and {len(others):,} others")
    return f"caller {first}{more}"
