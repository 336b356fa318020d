"""Rollouts: a canary goes through stages on evidence from the prediction log, until it is promoted or rolled back."""

from monitoring.rollout.controller import RolloutController
from monitoring.rollout.view import RolloutView

__all__ = ["RolloutController", "RolloutView"]
