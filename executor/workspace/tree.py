"""The workspace, as everything but blocking functions sees it: no path, only a way to run one."""

from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from executor.threads import AgentThreads

P = ParamSpec("P")
T = TypeVar("T")


class Tree:
    """Its files are its agent's: what reads or writes them gets the root here, and with it a thread
    that has the agent's identity.
    """

    def __init__(self, root: Path, threads: AgentThreads) -> None:
        self.threads = threads
        self._root = root

    async def run(
        self, function: Callable[Concatenate[Path, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`function(root, …)`. A cancelled caller waits until it is done."""
        return await self.threads.run(function, self._root, *args, **kwargs)
