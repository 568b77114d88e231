"""Shows a run's events: as they stream, as words; or each as its own JSON line."""

from cli.output import Output
from cli.stream import Seen
from cli.words import lines
from contracts.events import MessageDelta, MessageStop, ThoughtDelta


class Printer:
    def __init__(self, output: Output, *, json: bool = False) -> None:
        self._output = output
        self._json = json
        self._open = ""
        """The message whose text is being written: its line has not ended."""
        self._written: set[str] = set()

    def show(self, seen: Seen) -> None:
        if self._json:
            self._output.raw(seen.line)
            return
        match seen.event:
            case MessageDelta(message_id=message_id, text=text):
                self._stream(message_id, text, "")
            case ThoughtDelta(message_id=message_id, text=text):
                self._stream(f"thought {message_id}", text, "italic dim")
            case MessageStop(message_id=message_id, text=text):
                if message_id not in self._written:  # its deltas have expired
                    self._stream(message_id, text, "")
                self.end_line()
            case event:
                for line in lines(event):
                    self.end_line()
                    self._output.line(line.text, line.style)

    def end_line(self) -> None:
        if self._open:
            self._output.part("\n")
            self._open = ""

    def _stream(self, message: str, text: str, style: str) -> None:
        if self._open != message:
            self.end_line()
        self._output.part(text, style)
        self._written.add(message)
        self._open = "" if text.endswith("\n") else message
