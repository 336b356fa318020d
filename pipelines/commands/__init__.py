"""Commands of `slipway` that train."""
