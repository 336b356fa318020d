"""The trial: an installation of Slipway on a real cluster, used and disturbed under load, and every part checked."""
