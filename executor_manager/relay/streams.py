"""What became of an agent's requests: which answers were cut though the agent was still there.

Agents hide such cuts. The executor asks for them at the end of a turn and decides; see
`contracts.relay.RelayStreams`.
"""

from collections import deque
from typing import Literal

import msgspec

from contracts.relay import RelayStreams, StreamCut

KEPT = 256
PATH_SHOWN = 200


class Streams:
    """Of one worker, as long as it has a policy."""

    def __init__(self) -> None:
        self.open = 0
        self._last = 0
        self._cuts: deque[StreamCut] = deque(maxlen=KEPT)

    def cut(
        self, *, upstream: str, path: str, body_sha256: str, by: Literal["upstream", "relay"]
    ) -> None:
        self._last += 1
        self._cuts.append(
            StreamCut(
                number=self._last,
                upstream=upstream,
                path=path[:PATH_SHOWN],
                body_sha256=body_sha256,
                cut_by=by,
            )
        )

    def answered(self, *, upstream: str, body_sha256: str) -> None:
        """Whole, and with success."""
        for place, cut in enumerate(self._cuts):
            if cut.upstream == upstream and cut.body_sha256 == body_sha256:
                self._cuts[place] = msgspec.structs.replace(cut, answered_since=True)

    def told(self, boot: str, after: int) -> RelayStreams:
        return RelayStreams(
            boot=boot,
            open=self.open,
            last=self._last,
            cuts=[cut for cut in self._cuts if cut.number > after],
        )
