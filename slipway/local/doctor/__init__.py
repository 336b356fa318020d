"""The doctor: looks at this machine and what runs on it, and says how to mend what is not well."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.local.doctor.finding import Diagnosis

__all__ = ["Diagnosis", "examine"]


def examine() -> Iterator[Diagnosis]:
    """Every finding, as soon as it is known; nothing is changed and nothing is started but questions."""
    from slipway.errors import SettingsError
    from slipway.local.doctor import accelerators, machine, packages, services
    from slipway.local.doctor.finding import error
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
        yield from services.unsafe(found)
        yield from services.use_cases()
        yield from services.servers(found)
        yield from services.agreement(found)
    yield from accelerators.findings(questions)
