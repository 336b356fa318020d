"""The commands of `slipway` that ship logs, monitor, promote, roll back and show state."""
