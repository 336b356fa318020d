"""The status page: what runs, in which version, and what monitoring last said about it."""
