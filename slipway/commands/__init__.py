"""The commands of `slipway` that concern this machine."""
