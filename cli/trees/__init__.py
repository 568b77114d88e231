"""Trees of files between this machine and sessions' workspaces."""
