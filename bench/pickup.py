"""How soon an accepted message is picked up and answered, on a stack that is already running.

    BERTH_URL=… BERTH_KEY=… python bench/pickup.py [rounds]

One session, one message after the other, its worker idle between them: from `run.queued` to
`run.claimed` by the database's clock, and from the client's POST to the first `message.delta`.
Last line: JSON with medians and the 99th percentile, in milliseconds.
"""

import datetime
import json
import statistics
import sys
import time
from typing import Any

import httpx

from cli.settings import read_settings

ROUNDS = 40


def moments(client: httpx.Client, session_id: str) -> tuple[float, float]:
    """(pick-up, first delta) in milliseconds."""
    at: dict[str, datetime.datetime] = {}
    begun, first = time.perf_counter(), 0.0
    message = {"text": "remember round=1"}
    path = f"/api/v1/sessions/{session_id}/messages"
    headers = {"Accept": "text/event-stream"}
    with client.stream("POST", path, json=message, headers=headers) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            entry: dict[str, Any] = json.loads(line.removeprefix("data: "))
            kind = entry.get("event", {}).get("kind", "")
            at.setdefault(kind, datetime.datetime.fromisoformat(entry.get("at", "1970-01-01")))
            if kind == "message.delta" and not first:
                first = (time.perf_counter() - begun) * 1000
    return (at["run.claimed"] - at["run.queued"]).total_seconds() * 1000, first


def main() -> None:
    settings = read_settings()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    headers = {"Authorization": f"Bearer {settings.key}"}
    with httpx.Client(base_url=settings.url or "", headers=headers, timeout=60) as client:
        created = client.post("/api/v1/sessions", json={"agent": "scripted"})
        created.raise_for_status()
        session_id = created.json()["id"]
        moments(client, session_id)
        seen = [moments(client, session_id) for _ in range(rounds)]
    pickups, firsts = [list(column) for column in zip(*seen, strict=True)]
    figures = {
        "rounds": rounds,
        "pickup_ms_p50": round(statistics.median(pickups), 1),
        "pickup_ms_p99": round(statistics.quantiles(pickups, n=100)[98], 1),
        "first_delta_ms_p50": round(statistics.median(firsts), 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
