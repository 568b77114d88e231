"""The workspace's files as people have them, with a record of what was touched."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

from executor.services.changes import Changes
from executor.services.files import WorkspaceFiles
from executor.services.saves import Saves
from executor.status import Status
from tests.executor.trees import tree_at


class Touches:
    """What a change tells those who save."""

    def __init__(self) -> None:
        self.count = 0

    def touched(self) -> None:
        self.count += 1


def changes_at(status: Status, touches: Touches | None = None) -> Changes:
    saves = cast("Saves", touches or Touches())
    return Changes(saves, status, lambda: None)


def files_at(root: Path, status: Status, changes: Changes | None = None) -> WorkspaceFiles:
    return WorkspaceFiles(tree_at(root), status, changes or changes_at(status))


async def sent(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
