"""The follower: brings the versions that the registry's aliases name to the servers of this machine."""
