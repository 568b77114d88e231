"""The background duties of a replica, one file each; all are safe on every replica at once."""
