"""Managers as administrators see and order them, and who administers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Text, cast, extract, func, select
from sqlalchemy.sql.functions import Function

from contracts.installation import Administrator, AdministratorPage, AdminManager, AdminManagerPage
from contracts.managers import AgentOffer
from contracts.preflight import PreflightFinding
from control_plane.domain.cursors import Window
from control_plane.store.containers import read_offer
from control_plane.store.database import Connection, Unit
from control_plane.store.pages import AnySelect, fetch, page
from sql.named import load as load_queries
from sql.tables import managers, users

QUERIES = load_queries("installation")

_managers = managers.c
_users = users.c
_decode_offers = msgspec.json.Decoder(dict[str, str]).decode
_decode_isolation = msgspec.json.Decoder(dict[str, bool]).decode
_decode_preflight = msgspec.json.Decoder(list[PreflightFinding]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What administrators want of a manager; None: its own setting."""

    max_workers: int
    """Its own setting."""
    wanted_workers: int | None
    wanted_warm: int | None
    wanted_draining: bool
    version: int


@dataclass(frozen=True, slots=True)
class _Held:
    live: int
    states: dict[str, int]


async def listed(connection: Connection, window: Window) -> AdminManagerPage:
    records, cursor = await page(
        connection, _selected(), key=_managers.id, scope="managers", window=window, make=_itself
    )
    return AdminManagerPage(items=await _views(connection, records), next_cursor=cursor)


async def get(connection: Connection, manager_id: UUID) -> AdminManager | None:
    records = await fetch(connection, _selected().where(_managers.id == manager_id))
    return (await _views(connection, records))[0] if records else None


async def lock_manager(unit: Unit, manager_id: UUID) -> Ordered | None:
    record = await unit.connection.fetchrow(QUERIES["manager"], manager_id)
    return None if record is None else Ordered(**dict(record.items()))


async def order(unit: Unit, manager_id: UUID, new: Ordered) -> None:
    """Raises its version by one."""
    await unit.connection.execute(
        QUERIES["order_manager"],
        manager_id,
        new.wanted_workers,
        new.wanted_warm,
        new.wanted_draining,
    )


async def administrators(connection: Connection, window: Window) -> AdministratorPage:
    items, cursor = await page(
        connection,
        select(_users.id, _users.name).where(_users.administrator),
        key=_users.id,
        scope="administrators",
        window=window,
        make=lambda record: Administrator(user_id=record["id"], name=record["name"]),
    )
    return AdministratorPage(items=items, next_cursor=cursor)


async def make_administrator(unit: Unit, user_id: UUID) -> bool:
    """False: there is no such user, or it was one before."""
    return await unit.connection.fetchval(QUERIES["make_administrator"], user_id) is not None


async def lock_administrators(unit: Unit) -> list[UUID]:
    records = await unit.connection.fetch(QUERIES["lock_administrators"])
    return [record["id"] for record in records]


async def unmake_administrator(unit: Unit, user_id: UUID) -> None:
    await unit.connection.execute(QUERIES["unmake_administrator"], user_id)


def _selected() -> AnySelect:
    now: Function[Any] = func.clock_timestamp()
    silent = extract("epoch", now - _managers.last_seen_at)
    return select(
        _managers.id,
        _managers.name,
        _managers.backend,
        _managers.url,
        _managers.version,
        _managers.max_workers,
        _managers.wanted_workers,
        _managers.wanted_warm,
        _managers.wanted_draining,
        _managers.draining,
        _managers.incarnation,
        _managers.last_seen_at,
        cast(_managers.agents, Text).label("agents"),
        cast(_managers.isolation, Text).label("isolation"),
        cast(_managers.containers, Text).label("containers"),
        cast(_managers.preflight, Text).label("preflight"),
        silent.label("silent_seconds"),
    )


async def _views(connection: Connection, records: Sequence[asyncpg.Record]) -> list[AdminManager]:
    ids = [record["id"] for record in records]
    live: defaultdict[UUID, int] = defaultdict(int)
    states: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    for counted in await connection.fetch(QUERIES["workers_of"], ids):
        manager_id = counted["manager_id"]
        live[manager_id] += counted["live"]
        states[manager_id][counted["state"]] = counted["workers"]
    return [_view(record, _Held(live[record["id"]], states[record["id"]])) for record in records]


def _view(record: asyncpg.Record, held: _Held) -> AdminManager:
    own, wanted = record["max_workers"], record["wanted_workers"]
    offers = _decode_offers(record["agents"])
    return AdminManager(
        id=record["id"],
        name=record["name"],
        backend=record["backend"],
        url=record["url"],
        version=record["version"],
        max_workers=own if wanted is None else min(own, wanted),
        own_max_workers=own,
        wanted_max_workers=wanted,
        warm=record["wanted_warm"],
        draining=record["draining"] or record["wanted_draining"],
        wanted_draining=record["wanted_draining"],
        workers=held.live,
        states=held.states,
        agents=[AgentOffer(agent=name, missing=offers[name]) for name in sorted(offers)],
        isolation=_decode_isolation(record["isolation"]),
        containers=read_offer(record["containers"]),
        preflight=_decode_preflight(record["preflight"]),
        last_seen_at=record["last_seen_at"],
        silent_seconds=float(record["silent_seconds"]),
        incarnation=record["incarnation"],
    )


def _itself(record: asyncpg.Record) -> asyncpg.Record:
    return record
