"""Rollout of a release: applied, awaited and tested; where that fails, the images before are put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from slipway.errors import ServiceError

Images = Mapping[str, str]  # the reference of each image, by its name


class RolloutFailed(ServiceError):
    """A release that is not deployed; the message says why, and what runs now."""


class Target(Protocol):
    """What a rollout does to an environment; each raises ServiceError if it fails."""

    def apply(self, images: Images) -> None:
        """Apply the manifests with these images."""

    def wait(self) -> None:
        """Wait until every pod is new and ready."""

    def smoke(self, images: Images) -> str:
        """Run the smoke test and return its verdict."""


def roll_out(target: Target, wanted: Images, before: Images, say: Callable[[str], None]) -> None:
    """Roll out the images, and put those before back if it fails.

    Raises:
        RolloutFailed: it failed.
    """
    try:
        target.apply(wanted)
        say("applied; waiting for every pod to be ready")
        target.wait()
        say(target.smoke(wanted))
    except ServiceError as error:
        _roll_back(target, wanted, before, _sentence(error), say)


def _roll_back(target: Target, wanted: Images, before: Images, reason: str, say: Callable[[str], None]) -> None:
    if not before:
        raise RolloutFailed(f"{reason} Nothing was deployed before, so nothing is put back: the pods stay as they are.")
    if before == wanted:
        raise RolloutFailed(f"{reason} The same images were deployed before, so there is nothing to put back.")
    say(f"{reason} Putting the images before back")
    try:
        target.apply({**wanted, **before})
        target.wait()
    except ServiceError as error:
        raise RolloutFailed(f"{reason} The images before could not be put back: {_sentence(error)}") from None
    restored = ", ".join(reference for name, reference in sorted(before.items()) if reference != wanted.get(name))
    raise RolloutFailed(f"{reason} The images before are back: {restored}.")


def _sentence(error: ServiceError) -> str:
    text = str(error).strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
