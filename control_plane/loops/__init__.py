"""The background duties of a replica, one file each; all are safe to run on every replica at once."""
