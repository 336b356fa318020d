"""Files, locks, processes and ports of the operating system."""
