"""What the command prints: rich on a terminal, the same words plain when piped."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

T = TypeVar("T")

CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """Without control characters: what an agent says must not steer the terminal. Bytes of a name
    that is no UTF-8 are escaped: not every terminal's encoding has them.
    """
    return text.translate(CONTROLS).encode(errors="backslashreplace").decode()


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
        self.part(f"{text}\n", style)

    def part(self, text: str, style: str = "") -> None:
        """Without an end of line, at once."""
        if self.out.is_terminal:
            self.out.print(Text(printable(text), style=style), end="")
        else:
            # the console makes spaces of tabs
            self.out.file.write(printable(text))
        self.out.file.flush()

    def exact(self, text: str) -> None:
        """For another program each byte as it is; for people as they can be shown it."""
        if self.out.is_terminal:
            self.part(text)
        else:
            self.out.file.write(text)

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

    def answer(self, value: object, words: str, *, json: bool) -> None:
        """For another program, or for people."""
        if json:
            self.json(value)
        else:
            self.line(words)

    def listing(
        self,
        found: Sequence[T],
        columns: Sequence[str],
        row: Callable[[T], Sequence[str]],
        *,
        json: bool,
    ) -> None:
        """Each one as a JSON line, or all as a table."""
        if json:
            for one in found:
                self.json(one)
        else:
            self.table(columns, [row(one) for one in found])

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
