"""What a search found, printed: a path, or each line with its place."""

from cli.client import ApiClient
from cli.output import Output
from cli.pages import pages
from contracts.workspace_files import EntryKind, WorkspaceMatches

MARKS = {EntryKind.DIRECTORY: "/", EntryKind.LINK: "@", EntryKind.FILE: "", EntryKind.OTHER: "="}
MOST_WITHHELD = 10


async def print_matches(client: ApiClient, path: str, /, *, json: bool, **query: object) -> None:
    """Page by page; what was not searched is told at the end."""
    output = Output()
    withheld: list[str] = []
    async for page in pages(client, path, WorkspaceMatches, **query):
        _print(output, page, json=json)
        withheld += page.withheld
    if withheld:
        output.note(f"Not searched, for owners only: {', '.join(withheld[:MOST_WITHHELD])}")


def _print(output: Output, page: WorkspaceMatches, *, json: bool) -> None:
    for found in page.items:
        if json:
            output.json(found)
        elif not found.lines:
            output.line(found.entry.path + MARKS[found.entry.kind])
        for line in found.lines if not json else ():
            output.line(f"{found.entry.path}:{line.number}: {line.text}")
