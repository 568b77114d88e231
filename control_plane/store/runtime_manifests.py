"""What apps say of workspaces, as it is kept: an object, empty where nothing was said."""

from uuid import UUID

import msgspec

from contracts.runtime_manifests import RuntimeManifest
from control_plane.store.database import Connection
from sql.named import load as load_queries

QUERIES = load_queries("runtime_manifests")
NOTHING_SAID = "{}"
UNSAID = RuntimeManifest()

_decode = msgspec.json.Decoder(RuntimeManifest).decode


def kept(manifest: RuntimeManifest | None) -> str:
    return NOTHING_SAID if manifest is None else msgspec.json.encode(manifest).decode()


def said(text: str) -> RuntimeManifest | None:
    return None if text == NOTHING_SAID else _decode(text)


async def of_session(connection: Connection, session_id: UUID) -> RuntimeManifest:
    """What its app says; nothing, where it has none, or there is no such session."""
    text: str | None = await connection.fetchval(QUERIES["of_session"], session_id)
    return UNSAID if text is None else _decode(text)


async def of_app(connection: Connection, project_id: UUID, app_id: UUID) -> RuntimeManifest | None:
    """None: the project has no such app."""
    text: str | None = await connection.fetchval(QUERIES["of_app"], project_id, app_id)
    return None if text is None else _decode(text)


async def image(connection: Connection, session_id: UUID | None, app_id: UUID | None) -> str:
    """What the app's sessions run in; empty: the installation's."""
    found: str | None = await connection.fetchval(QUERIES["image"], session_id, app_id)
    return found or ""
