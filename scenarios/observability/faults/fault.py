"""Fault: what goes wrong, which alerts must follow, and how it is made and mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from scenarios.observability.deployment import Deployment

Lasting = Callable[[Deployment], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """A fault, in words, that is there inside of the context manager that `lasting` returns."""

    what: str
    alerts: tuple[str, ...]
    lasting: Lasting


def fault(what: str, *alerts: str) -> Callable[[Callable[[Deployment], Iterator[None]]], Fault]:
    """Make a fault of a generator function that provokes it, yields while it lasts, and mends it."""
    return lambda function: Fault(what, alerts, contextmanager(function))


def threshold(what: str, *alerts: str, **changed: float) -> Fault:
    """Make a fault of thresholds that are set so that the deployment reaches them as it is."""

    @contextmanager
    def lasting(deployment: Deployment) -> Iterator[None]:
        deployment.set_thresholds(**changed)
        yield
        deployment.set_thresholds()

    return Fault(what, alerts, lasting)
