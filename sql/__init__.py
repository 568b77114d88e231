"""The schema, its migrations, and the named queries that only the control plane's store loads."""
