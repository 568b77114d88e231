"""What apps' sessions run in and what managers grant of it, as they are kept: objects that hold
what was said.
"""

from uuid import UUID

import msgspec

from contracts.containers import ContainerChoice, ContainerOffer
from control_plane.domain.containers import refused
from control_plane.store.database import Connection
from sql.named import load as load_queries

QUERIES = load_queries("containers")
NOTHING_SAID = "{}"
UNSAID = ContainerChoice()

_decode_choice = msgspec.json.Decoder(ContainerChoice).decode
_decode_offer = msgspec.json.Decoder(ContainerOffer).decode


def kept(choice: ContainerChoice | None) -> str:
    if choice is None:
        return NOTHING_SAID
    unsaid = msgspec.structs.asdict(UNSAID)
    said = msgspec.structs.asdict(choice).items()
    return msgspec.json.encode(
        {name: value for name, value in said if value != unsaid[name]}
    ).decode()


def read(text: str | None) -> ContainerChoice:
    """Nothing, where nothing was said, or there is no app."""
    return UNSAID if text is None else _decode_choice(text)


def read_offer(text: str) -> ContainerOffer:
    return _decode_offer(text)


async def choices(connection: Connection) -> list[str]:
    """As Postgres writes them: equal ones alike."""
    return [record["container"] for record in await connection.fetch(QUERIES["choices"])]


async def offers(
    connection: Connection, *, seen_within: float | None = None
) -> dict[UUID, ContainerOffer]:
    """By manager. `seen_within`: seconds; None: of all that ever registered."""
    records = await connection.fetch(QUERIES["offers"], seen_within)
    return {record["id"]: read_offer(record["containers"]) for record in records}


async def unoffered(connection: Connection, after: float, limit: int) -> list[tuple[UUID, UUID]]:
    """(session, run) that waited for `after` seconds, and no living manager could start."""
    said = await choices(connection)
    offering = await offers(connection, seen_within=after)
    pairs = [
        (manager, text) for manager, offer in offering.items() for text in refused(said, offer)
    ]
    managers, texts = [list(column) for column in zip(*pairs, strict=True)] if pairs else ([], [])
    records = await connection.fetch(QUERIES["unoffered"], after, limit, managers, texts)
    return [(record["session_id"], record["id"]) for record in records]


async def of_offered_agent(
    connection: Connection, session_id: UUID, agent: str, *, seen_within: float
) -> ContainerChoice | None:
    """What its app says; None: no living manager offers the agent, or there is no app."""
    text: str | None = await connection.fetchval(
        QUERIES["of_offered_agent"], session_id, seen_within, agent
    )
    return None if text is None else read(text)
