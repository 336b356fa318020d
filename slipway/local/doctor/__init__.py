"""The doctor: looks at this machine and what runs on it, and says how to mend what is not well."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.doctor.finding import Finding

__all__ = ["Finding", "examine"]


def examine() -> Iterator[Finding]:
    """Every finding, as soon as it is known; nothing is changed and nothing is started but questions."""
    from slipway.doctor import accelerators, machine, packages, parts
    from slipway.doctor.finding import error
    from slipway.errors import SettingsError
    from slipway.settings import settings

    questions = accelerators.ask()
    yield machine.python()
    yield from packages.pairs()
    yield from packages.extras()
    yield machine.memory()
    try:
        found = settings()
    except SettingsError as problem:
        yield error("settings", str(problem), "correct or unset the variable")
    else:
        yield machine.disk(found)
        yield from machine.ports(found)
        yield from parts.unsafe(found)
        yield from parts.use_cases()
        yield from parts.servers(found)
        yield from parts.agreement(found)
    yield from accelerators.findings(questions)
