"""The scripted model beside a stack, and what it wrote down: the witness outside of everything."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.e2e.stack import Stack

COMPOSE = Path(__file__).parent / "compose.model.yml"
URL = "http://model:8080"

T = TypeVar("T")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as the model's log has it: written when its answer has ended."""

    at: float
    id: str = ""
    path: str = ""
    model: str = ""
    side: bool = False
    """A call that the agent makes beside its conversation."""
    step: int = -1
    """Which reply of its script; below 0: none."""
    tools: list[str] = []
    conversation: list[tuple[str, str]] = []

    @property
    def text(self) -> str:
        return "\n".join(text for _, text in self.conversation)

    def said_by(self, role: str) -> str:
        return "\n".join(text for who, text in self.conversation if who == role)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger: what the model counts as used."""

    id: str
    path: str = ""
    model: str = ""
    input_tokens: int = 0
    """Without what came from a cache."""
    output_tokens: int = 0
    cached_tokens: int = 0
    thought_tokens: int = 0
    complete: bool = False
    status: int | None = None

    @property
    def cut(self) -> bool:
        """It had begun to answer, or never did."""
        return not self.complete and (self.status is None or self.status < 400)


class ModelServer:
    """Its container comes up with the stack's."""

    def __init__(self, folder: Path, scenario: Sequence[object] = ()) -> None:
        """`scenario`: for prompts that carry no script (`scripted.scenario`)."""
        self.folder = folder
        self.key = f"sk-{secrets.token_hex(16)}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "keys").write_text(self.key)
        (folder / "scenario.json").write_bytes(msgspec.json.encode([*scenario]))

    def beside(self, stack: Stack) -> None:
        stack.files.append(COMPOSE)
        stack.given["model-key"] = self.key
        stack.variables["MODEL_WITNESS"] = str(self.folder)
        hosts = stack.environments.setdefault("control-plane", {})
        hosts["BERTH_MODEL_HOSTS"] = URL

    def asked(self, word: str = "") -> list[Asked]:
        """Every request whose conversation holds that word, oldest first."""
        found = [one for one in self._lines("requests.jsonl", Asked) if word in one.text]
        return sorted(found, key=lambda one: one.at)

    def ledger(self) -> list[Entry]:
        return self._lines("ledger.jsonl", Entry)

    def _lines(self, name: str, kind: type[T]) -> list[T]:
        """Whole ones: the last may be being written."""
        try:
            content = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        return [msgspec.json.decode(line, type=kind) for line in whole.splitlines()]
