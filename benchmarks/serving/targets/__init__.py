"""What is measured: the servers, Slipway with and without its parts, and the networks that they run."""
