"""Collectors for `/metrics` that several processes share: processes, disks and GPUs."""
