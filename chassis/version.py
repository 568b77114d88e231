"""The version of all of Berth: light to import, for commands that need no more of a service."""

VERSION = "0.1.0"
"""Equal to pyproject.toml's, which an image without installed metadata has not got."""
