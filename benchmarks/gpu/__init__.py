"""Checks of serving and training on an NVIDIA GPU, prepared to run within eight minutes and without a network."""
