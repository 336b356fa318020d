"""Where and when a prediction runs: admission, worker pool, batching, deadlines and canary routing."""
