"""An attempt as the line of runs knows it: what is behind it is loaded later (`loading.py`)."""

from typing import Protocol
from uuid import UUID

from contracts.commands import RunSpec
from executor.notes import AttemptNote
from executor.services.runs.endings import EndRequest
from executor.services.worker import Worker


class LiveAttempt(Protocol):
    @property
    def note(self) -> AttemptNote: ...

    @property
    def request(self) -> EndRequest: ...

    async def drive(self) -> None:
        """Raises `Superseded`. However it ends, no process of the agent is left."""
        ...

    def answered(self, ask_id: UUID, request_id: UUID) -> None: ...

    def checkpoint(self) -> None:
        """Soon, in the background; before the prompt there is nothing new to save."""
        ...


class Attempts(Protocol):
    """Makes them."""

    def __call__(self, worker: Worker, spec: RunSpec) -> LiveAttempt: ...
