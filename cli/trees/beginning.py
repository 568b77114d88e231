"""What a new session's workspace begins with: a directory of this machine, or a repository."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec

from cli.client import ApiClient
from cli.exits import CliError, Exit
from cli.output import Output
from cli.trees.sending import send_tree
from contracts.checkouts import AskedGit, AskedWorkspace
from contracts.sessions import CreateSession, Session

TITLE_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    directory: str | None
    git: str | None
    ref: str | None

    @property
    def is_given(self) -> bool:
        return any(one is not None for one in (self.directory, self.git, self.ref))


def workspace_of(beginning: Beginning) -> AskedWorkspace | None:
    """Raises `CliError` that says what would be right."""
    if beginning.directory is not None and beginning.git is not None:
        raise CliError("A workspace begins with --dir or with --git, not with both.", Exit.USAGE)
    if beginning.git is None:
        if beginning.ref is not None:
            raise CliError("--ref goes with --git.", Exit.USAGE)
        return None
    asked = {"url": beginning.git} | ({} if beginning.ref is None else {"ref": beginning.ref})
    try:
        return AskedWorkspace(git=msgspec.convert(asked, AskedGit))
    except msgspec.ValidationError as error:
        if "$.ref" in str(error):
            raise CliError(
                "--ref is a branch, a tag or a commit, as git has it.", Exit.USAGE
            ) from error
        raise CliError(
            "--git is https://HOST/PATH, without a name, a password or a port in it. Credentials"
            " are the project's: `berth git set HOST`.",
            Exit.USAGE,
        ) from error


async def begin_with(
    client: ApiClient, place: tuple[Path, int, int], output: Output, *, agent: str | None, text: str
) -> UUID:
    """The id of a session that has the tree. One whose tree was refused is archived."""
    title = text.strip().partition("\n")[0][:TITLE_CHARACTERS]
    made = await client.post("/api/v1/sessions", Session, CreateSession(title=title, agent=agent))
    try:
        await send_tree(client, made.id, place, output)
    except CliError:
        output.note(f"The session {made.id} has no workspace: it is archived.")
        await client.patch(f"/api/v1/sessions/{made.id}", Session, {"archived": True})
        raise
    return made.id
