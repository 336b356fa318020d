"""Steps of a training, one module each."""
