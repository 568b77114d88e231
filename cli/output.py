"""What the command prints: rich on a terminal, the same words plain when piped."""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """Without control characters: what an agent says must not steer the terminal."""
    return text.translate(CONTROLS)


class Output:
    """Results on standard output, what is said about the work on standard error."""

    def __init__(self) -> None:
        self.out = Console(highlight=False, markup=False, soft_wrap=True)
        self.err = Console(highlight=False, markup=False, soft_wrap=True, stderr=True)

    @property
    def interactive(self) -> bool:
        """A person can be asked."""
        return sys.stdin.isatty() and sys.stdout.isatty()

    def line(self, text: str, style: str = "") -> None:
        self.out.print(Text(printable(text), style=style))

    def part(self, text: str, style: str = "") -> None:
        """Without an end of line, at once."""
        self.out.print(Text(printable(text), style=style), end="")
        self.out.file.flush()

    def note(self, text: str, style: str = "dim") -> None:
        self.err.print(Text(printable(text), style=style))

    def error(self, text: str) -> None:
        first, _, rest = printable(text).partition("\n")
        self.err.print(Text(f"berth: {first}", style="bold red"))
        if rest:
            self.err.print(Text(rest))

    def json(self, value: object) -> None:
        """One line."""
        self.raw(msgspec.json.encode(value).decode())

    def raw(self, line: str) -> None:
        self.out.file.write(f"{line}\n")
        self.out.file.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Piped: one row a line, tabs between, no heading."""
        if not self.out.is_terminal:
            for row in rows:
                self.raw("\t".join(printable(cell).replace("\t", " ") for cell in row))
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        self.out.print(table, soft_wrap=False)


class StepReporter:
    """Tells a stack's steps on standard error."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def done(self, step: str, seconds: float, detail: str) -> None:
        told = f"  {step:<20} {seconds:5.1f} s"
        self._output.note(f"{told}  {detail}" if detail else told)

    def say(self, text: str) -> None:
        self._output.note(text, style="")

    def warn(self, text: str) -> None:
        self._output.note(text, style="yellow")
