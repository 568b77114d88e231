"""A local directory becomes the workspace of a session."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from uuid import UUID

from cli.client import ApiClient
from cli.exits import CliError, Exit
from cli.output import Output
from cli.progress import Meter, amount, metered
from cli.transfers import LONG, sent
from cli.trees.local import LeftOut, archived, totals
from contracts.sessions import Session
from contracts.trees import MEDIA_TYPE, ImportedTree

LISTED = 20
CUT = (
    "The connection was cut while the tree was sent: it may be larger than is allowed, see"
    " BERTH_IMPORT_MIB and the gateway's BERTH_MAX_IMPORT_BYTES; else send it again."
)


async def measured(directory: str) -> tuple[Path, int, int]:
    """Where it is, its files and bytes. Raises `CliError` for what cannot be a workspace."""
    top = Path(directory)
    try:
        files, size = await asyncio.to_thread(totals, top)
    except FileNotFoundError as error:
        raise CliError(f"There is no directory {directory}.", Exit.USAGE) from error
    except NotADirectoryError as error:
        raise CliError(
            f"{directory} is no directory: name the one it is in.", Exit.USAGE
        ) from error
    except OSError as error:
        raise CliError(f"{directory} cannot be read: {error.strerror}.", Exit.USAGE) from error
    if not files:
        raise CliError(
            f"{directory} has no files to send (.berthignore leaves out what it names). Without"
            " --dir a session begins with an empty workspace.",
            Exit.USAGE,
        )
    return top, files, size


async def send_tree(
    client: ApiClient, session: UUID, place: tuple[Path, int, int], output: Output
) -> ImportedTree:
    """Tells how far it is, and what could not be sent."""
    # before anything is sent: there is one, and it is ours to change
    await client.get(f"/api/v1/sessions/{session}", Session)
    top, files, size = place
    left_out: list[LeftOut] = []
    headers = {"Content-Type": MEDIA_TYPE, "Idempotency-Key": f"cli-{uuid.uuid4()}"}
    with metered(output, f"sending {top}", total_files=files, total_bytes=size) as meter:
        made = await sent(
            client,
            "POST",
            f"/api/v1/sessions/{session}/workspace/import",
            ImportedTree,
            pieces=_pieces(archived(top, left_out, meter), meter),
            headers=headers,
            within=LONG,
            cut=CUT,
        )
    tell_left_out(left_out, output)
    stored = f"{amount(made.bytes)}, {amount(made.new_bytes)} as stored"
    output.note(f"{made.files} files of {top} are the workspace ({stored})")
    return made


def tell_left_out(left_out: list[LeftOut], output: Output) -> None:
    for one in left_out[:LISTED]:
        what = "sent, but" if one.sent else "not sent:"
        path = one.path.decode(errors="backslashreplace")
        output.note(f"{path}: {what} {one.why}", "yellow")
    if len(left_out) > LISTED:
        output.note(f"{len(left_out) - LISTED} more", "yellow")


async def _pieces(made: Generator[bytes], meter: Meter) -> AsyncGenerator[bytes]:
    try:
        while (piece := await asyncio.to_thread(next, made, None)) is not None:
            yield piece
            meter.show()
    finally:
        made.close()
