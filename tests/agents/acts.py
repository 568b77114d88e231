"""What an agent is made to do, said once for all of them: each dialect has its own words for it."""

from dataclasses import dataclass

WORKSPACE = "/workspace"


@dataclass(frozen=True, kw_only=True)
class Say:
    """The model's words; its thought before them. `delay` seconds between words."""

    text: str = ""
    think: str = ""
    delay: float = 0.0
    cut_after: int | None = None
    """Pieces, then the connection ends in the middle."""
    cut_times: int = 0
    """Only the first so many times; 0: always."""
    usage: tuple[int, int, int] | None = None
    """Tokens in, out, and in that came from a cache."""


@dataclass(frozen=True, kw_only=True)
class Fail:
    """The provider's answer is this status, the first so many `times`; 0: always."""

    status: int
    times: int = 0


@dataclass(frozen=True, kw_only=True)
class Hang:
    """The provider says nothing for so long."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Write:
    """A new file, by the agent's own tool."""

    path: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Of a file that the agent wrote in this session."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Shell:
    command: str
    ask: bool = True
    """In a way that a person is asked, where the agent has several, if its mode asks at all."""
    said: str = ""
    """By the model, before it calls it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One entry, under way."""

    entry: str


@dataclass(frozen=True, kw_only=True)
class Question:
    text: str
    options: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One that the platform gives."""

    name: str
    arguments: dict[str, object]


Act = Say | Fail | Hang | Write | Edit | Shell | Plan | Question | Tool


def numbered(count: int, *, delay: float) -> Say:
    """Text that can be stopped in its middle."""
    return Say(text=" ".join(f"#{number};" for number in range(1, count + 1)), delay=delay)
