"""What was booked against what the model counted: call by call, token by token.

A completed call is the provider's own numbers. One that was cut is `estimated`: one for each entry
of the ledger that did not end whole, listed apart and never added up with the others.
"""

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from contracts.models import ModelCall
from tests.agents.model import Entry, ModelServer
from tests.agents.upstreams import calls
from tests.e2e.client import Client
from tests.fixtures.deadlines import eventually


@dataclass(frozen=True)
class Tokens:
    input: int
    output: int
    cached: int
    thought: int

    @classmethod
    def of(cls, one: ModelCall | Entry) -> "Tokens":
        return cls(one.input_tokens, one.output_tokens, one.cached_tokens, one.thought_tokens)


@dataclass(frozen=True)
class Books:
    """Of some sessions: the calls that are booked, the ledger's lines by id."""

    calls: list[ModelCall]
    ledger: dict[str, Entry]

    @property
    def completed(self) -> list[ModelCall]:
        return [one for one in self.calls if one.state == "completed"]

    @property
    def cut(self) -> list[ModelCall]:
        return [one for one in self.calls if one.state == "cut"]

    def compare(self) -> None:
        for one in self.completed:
            entry = self.ledger.get(one.provider_id)
            assert entry is not None, f"booked, and not in the ledger: {one}"
            assert entry.complete, f"booked as completed, and cut: {one} {entry}"
            assert one.source == "metered", one
            booked, counted = Tokens.of(one), Tokens.of(entry)
            assert booked == counted, f"{one.id}: booked {booked}, the ledger has {counted}"
            assert one.model == entry.model, f"{one.model} is booked, {entry.model} was asked"
        for one in self.cut:
            assert one.source == "estimated", one
        ids = Counter(one.provider_id for one in self.calls if one.provider_id)
        twice = [name for name, count in ids.items() if count > 1]
        assert not twice, f"booked twice: {twice}"


async def books_of(api: Client, model: ModelServer, sessions: set[UUID]) -> Books:
    """Once none of their calls is open any more."""

    async def closed() -> list[ModelCall]:
        found = await calls(api)
        of_these[:] = [one for one in found if one.session_id in sessions]
        return [] if any(one.state == "open" for one in of_these) else [*of_these]

    of_these: list[ModelCall] = []
    await eventually(closed, "calls stay open, or none was booked", within=60)
    return Books(of_these, {entry.id: entry for entry in model.ledger()})


def settled(entries: list[Entry], found: list[ModelCall], by_id: dict[str, ModelCall]) -> None:
    missing = [one for one in entries if one.complete and one.id not in by_id]
    assert not missing, f"{len(missing)} of the ledger are not booked, the first: {missing[0]}"
    cut = [one for one in entries if one.cut]
    estimated = [one for one in found if one.source == "estimated"]
    wrong = [one for one in cut if one.id in by_id and by_id[one.id].source != "estimated"]
    assert not wrong, f"cut in the ledger, and booked as whole: {by_id[wrong[0].id]} {wrong[0]}"
    told = f"{len(cut)} lines of the ledger are cut, {len(estimated)} calls are estimated"
    assert len(estimated) == len(cut), told
