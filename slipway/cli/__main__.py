"""Command `slipway`, run as `python -m slipway.cli`."""

from slipway.cli import main

main()
