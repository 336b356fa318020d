"""The commands of `slipway` that serve, follow, predict, package and smoke-test."""
