"""Fuzzer of the prediction service: adversarial requests from a seed. Tests run a short campaign of it."""
