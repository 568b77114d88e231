"""Of each agent and of everybody: what is booked is what the model counted."""

from tests.agents.books import books_of, settled
from tests.agents.upstreams import calls
from tests.conformance.trial import Bench, Trial


async def usage(trial: Trial) -> None:
    """Of all that this agent's checks made."""
    sessions = {talk.session for talk in trial.talks if talk.session is not None}
    books = await books_of(trial.bench.api, trial.bench.model, sessions)
    assert books.completed, "nothing was booked as completed"
    books.compare()


async def ledger_is_booked(bench: Bench) -> None:
    """Each line of the ledger is one call; what was cut there is estimated here."""
    found = await calls(bench.api)
    by_id = {one.provider_id: one for one in found if one.provider_id}
    settled(bench.model.ledger(), found, by_id)
