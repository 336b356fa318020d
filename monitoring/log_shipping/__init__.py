"""Log shipping: moves the prediction log to its sinks, and exports its lag."""
