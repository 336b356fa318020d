"""Scenarios that play the world around a model; nothing imports them."""
