"""Realistic traffic, with drift of a chosen kind and delayed labels."""
