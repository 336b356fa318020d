"""The service, its page, and the follower beside it."""
