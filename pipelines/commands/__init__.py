"""The commands of `slipway` that train."""
