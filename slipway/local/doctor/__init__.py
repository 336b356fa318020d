"""The doctor: checks of this machine and of what runs on it, each with a fix."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.local.doctor.diagnosis import Diagnosis

__all__ = ["Diagnosis", "examine"]


def examine() -> Iterator[Diagnosis]:
    """Check everything and give each diagnosis as soon as it is known; nothing on the machine is changed."""
    from slipway.errors import SettingsError
    from slipway.local.doctor import accelerators, machine, network, packages, services
    from slipway.local.doctor.diagnosis import error
    from slipway.settings import settings

    probes = accelerators.start_probes()
    yield machine.python()
    yield from packages.pairs()
    yield from packages.extras()
    yield machine.memory()
    yield machine.temporary_files()
    yield machine.text_encoding()
    yield network.loopback()
    yield network.host_name()
    yield from network.certificates()
    try:
        found = settings()
    except SettingsError as problem:
        yield error("settings", str(problem), "correct or unset the variable")
    else:
        yield machine.disk(found)
        yield machine.file_system(found)
        yield from machine.ports(found)
        yield from network.proxy(found)
        yield from network.presented_certificate(found)
        yield from services.unsafe(found)
        yield from services.use_cases()
        yield from services.servers(found)
        yield from services.agreement(found)
        yield from services.aliases(found)
    yield from accelerators.diagnoses(probes)
