"""The bundle: the directory that training hands to serving and monitoring."""
