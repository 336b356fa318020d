"""Every error that Slipway raises on purpose. A message says what was received, what is allowed and what to do.

SlipwayError
├── SettingsError        an environment variable or option
├── UseCaseError         a usecase.yaml or a file beside it
├── DataError            rows of a source, a snapshot or a split
├── InputError           an instance of a prediction or feedback request; names its place
├── BundleError          a bundle whose bytes, contract or content are not as promised
│   ├── GateRefused      a bundle whose gates failed and which nobody overrode
│   └── DamagedFile      … on this machine: another machine may have it whole
├── RegistryError        the registry does not respond, or responds with an error
│   └── NotFound         … that there is no such model, version or alias
├── RunLocked            another training of the same use case is under way
├── ServiceError         a server does not respond, or responds with an error
│   └── ResponseTooLarge … with more bytes than its caller takes
└── PortTaken            a port is in use
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice


class SlipwayError(Exception):
    """The base of all: the command line prints its message and exits with 1."""


class SettingsError(SlipwayError):
    pass


class UseCaseError(SlipwayError):
    pass


class DataError(SlipwayError):
    pass


class InputError(SlipwayError):
    """A request that cannot be answered.

    `place` names where, as `instances[3].age`; `status` is the HTTP status that says so.
    """

    def __init__(self, message: str, place: str | None = None, status: int = 422) -> None:
        super().__init__(message)
        self.place = place
        self.status = status


class BundleError(SlipwayError):
    pass


class GateRefused(BundleError):
    pass


class DamagedFile(BundleError):
    pass


class RegistryError(SlipwayError):
    pass


class NotFound(RegistryError):
    pass


class RunLocked(SlipwayError):
    pass


class ServiceError(SlipwayError):
    pass


class ResponseTooLarge(ServiceError):
    pass


class PortTaken(SlipwayError):
    pass


_COMPARED_NAMES, _COMPARED_CHARACTERS = 1000, 60  # comparing takes the square of the characters


def suggestion(received: str, allowed: Iterable[str]) -> str:
    """` Did you mean 'age'?`, or nothing where nothing allowed is near it.

    The first 1,000 names are compared, and 60 characters of what was received.
    """
    names = list(islice(allowed, _COMPARED_NAMES))
    close = difflib.get_close_matches(received[:_COMPARED_CHARACTERS], names, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
