"""What runs often has an index to go by, however long the history: a sequential scan is the last
choice here, and still not taken.
"""

from uuid import uuid4

import pytest

from sql.named import load
from tests.fixtures.office import Office


@pytest.mark.parametrize(
    ("noun", "query", "arguments"),
    [
        ("workers", "forgotten_runs", ([uuid4()], 1.0)),
        ("workers", "expired", (50,)),
        ("workers", "overdue_cancels", (50,)),
        ("workers", "waiting_too_long", (1.0, 50)),
        ("workers", "overdue_requests", (50,)),
        ("workers", "headless_lines", (50,)),
        ("line", "candidates", (uuid4(), ["scripted"], True, 50, [])),
        ("line", "candidates", (uuid4(), ["scripted"], True, 50, ['{"image": "a"}'])),
        ("containers", "choices", ()),
        ("line", "claimed", (uuid4(), uuid4())),
        ("egress", "of_worker", (uuid4(),)),
        ("egress", "of_current_workers", ([uuid4()],)),
        ("quotas", "limited", ([uuid4()], [uuid4()])),
        ("quotas", "bounded", (uuid4(), uuid4())),
        ("quotas", "rooms", ([uuid4()], [uuid4()])),
        ("quotas", "use_of_project", (uuid4(),)),
        ("quotas", "use_of_user", (uuid4(),)),
        ("quotas", "waits_for", (uuid4(),)),
        ("quotas", "in_the_way", (2.0, 50)),
        ("quotas", "note_start", (uuid4(), uuid4())),
        ("installation", "workers_of", ([uuid4()],)),
        ("workers", "held_workers", (uuid4(),)),
        ("workers", "live_workers", (uuid4(),)),
        ("session_states", "heads", ([uuid4()],)),
        ("session_states", "workers", ([uuid4()],)),
        ("session_states", "taken", ([uuid4()],)),
        ("commands", "open", (uuid4(), 50)),
        ("model_calls", "close", (uuid4(), "cut", None, None, 0, 0, 0, 0, "")),
        ("model_calls", "close_overdue", (50,)),
        ("model_calls", "usage", (uuid4(),)),
        ("model_upstreams", "listed", (uuid4(),)),
        ("jobs", "pending", (50,)),
        ("jobs", "follow", ()),
        ("jobs", "time_out", ()),
        ("jobs", "finish", ()),
        ("jobs", "counts", ([uuid4()],)),
        ("jobs", "enlist_cleanup_idle", (uuid4(), uuid4())),
        ("jobs", "enlist_cleanup_stopped", (uuid4(), uuid4())),
        ("jobs", "enlist_reconcile_runs", (uuid4(), uuid4())),
        ("jobs", "enlist_reconcile_sync", (uuid4(), uuid4(), 1.0)),
        ("reconcile", "stale_runs", (1.0, 50)),
        ("reconcile", "stale_heads", ([uuid4()], 1.0)),
        ("reconcile", "unsaved_too_long", (1.0, 50)),
        ("tickets", "running", (uuid4(),)),
        ("tickets", "newest", (uuid4(),)),
        ("tickets", "redeem", ("0" * 64, uuid4())),
        ("tickets", "expire", (50,)),
        ("system", "queue", ([uuid4()],)),
        ("system", "queued", (100,)),
        ("transcripts", "told_before", (uuid4(), 9, 5, 100, 1)),
        ("transcripts", "count_before", (uuid4(), 9, 1)),
        ("transcripts", "page_back", (uuid4(), uuid4(), 9, 2, ["message.stop"], 5, 100)),
    ],
)
async def test_query__reads_by_index(
    office: Office, noun: str, query: str, arguments: tuple[object, ...]
) -> None:
    async with office.database.unit() as unit:
        await unit.connection.execute("SET LOCAL enable_seqscan = off")
        plan = await unit.connection.fetch(f"EXPLAIN {load(noun)[query]}", *arguments)
    lines = [row[0] for row in plan]
    assert not [line for line in lines if "Seq Scan" in line], "\n".join(lines)
