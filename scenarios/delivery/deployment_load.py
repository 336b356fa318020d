"""Load on the environments while a release is deployed, from the job that deploys to the first of them to the end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from scenarios.delivery.environments import Environment
from scenarios.kubernetes.background_load import BackgroundLoad, under_load

RATE = 20  # requests/s to each environment


class DeploymentLoad:
    """Load within a `with` block; `outcomes` has one for each environment, complete after the block.

    It begins with the job that is named like the first environment, not before: two cores that train or build images
    are too slow for others.
    """

    def __init__(self, environments: Sequence[Environment], prefix: str) -> None:
        self.outcomes: list[BackgroundLoad] = []
        self._environments = environments
        self._prefix = prefix
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    def job_began(self, job: str) -> None:
        """Send requests from now on, if it is the first job that deploys."""
        if job == self._environments[0].name:
            self.outcomes = [
                self._stack.enter_context(under_load(one.cluster, one.serving_image(), self._prefix, RATE))
                for one in self._environments
            ]
