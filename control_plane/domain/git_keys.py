"""Tokens of git hosts at rest, sealed for project and host."""

from control_plane.domain.seals import Seals


class GitKeys(Seals):
    def __init__(self, secret: bytes) -> None:
        super().__init__(secret, table="git_credentials")
