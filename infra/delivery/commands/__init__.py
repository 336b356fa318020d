"""Verbs of `python -m infra.delivery`: one module each, with one function `command`."""
