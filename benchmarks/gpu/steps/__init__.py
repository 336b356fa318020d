"""Steps of the GPU benchmark, each run in a process of its own, with the libraries of its environment."""
