"""The commands of `slipway` that play a scenario."""
