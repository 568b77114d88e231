"""Shows a run's events: as they stream, as words; or each as its own JSON line."""

from cli.output import Output
from cli.progress import StatusLine, line
from cli.stream import Seen
from cli.words import lines
from contracts.events import (
    AnyEvent,
    MessageDelta,
    MessageStop,
    ThoughtDelta,
    WorkspaceProgress,
)

PHASES = {"save": "saving the workspace", "restore": "restoring the workspace"}


class Printer:
    def __init__(self, output: Output, *, json: bool = False) -> None:
        self._output = output
        self._json = json
        self._open = ""
        """The message whose text is being written: its line has not ended."""
        self._written: set[str] = set()
        self._status = StatusLine(output)

    def show(self, seen: Seen) -> None:
        if self._json:
            self._output.raw(seen.line)
            return
        if isinstance(seen.event, WorkspaceProgress):
            self._progress(seen.event)
        else:
            self._status.clear()
            self._words(seen.event)

    def _progress(self, told: WorkspaceProgress) -> None:
        if not self._open:
            self._status.show(line(told, PHASES[told.phase]))

    def _words(self, told: AnyEvent | None) -> None:
        match told:
            case MessageDelta(message_id=message_id, text=text):
                self._stream(message_id, text, "")
            case ThoughtDelta(message_id=message_id, text=text):
                self._stream(f"thought {message_id}", text, "italic dim")
            case MessageStop(message_id=message_id, text=text):
                if message_id not in self._written:  # its deltas have expired
                    self._stream(message_id, text, "")
                self.end_line()
            case event:
                for found in lines(event):
                    self.end_line()
                    self._output.line(found.text, found.style)

    def end_line(self) -> None:
        self._status.clear()
        if self._open:
            self._output.part("\n")
            self._open = ""

    def _stream(self, message: str, text: str, style: str) -> None:
        if self._open != message:
            self.end_line()
        self._output.part(text, style)
        self._written.add(message)
        self._open = "" if text.endswith("\n") else message
