"""The steps of a training, one module each."""
