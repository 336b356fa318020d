"""Statistics of a window of predictions: drift, live quality and the verdict."""
