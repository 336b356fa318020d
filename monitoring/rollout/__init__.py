"""The rollout: a canary goes through its stages on evidence from the prediction log, to champion or back."""

from monitoring.rollout.controller import RolloutController, RolloutView

__all__ = ["RolloutController", "RolloutView"]
