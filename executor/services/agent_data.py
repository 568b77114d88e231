"""Where agents keep their own sessions: in the saved tree, linked from the agent's HOME.

`.berth/` in the workspace holds `agents/<profile>/<state dir>` and `session.json`. The agent can
write there, so everything is opened without following links, and in threads with its identity.
"""

import os
from pathlib import Path
from uuid import UUID

import msgspec

from chassis.logs import get_logger
from executor.agents.profile import (
    FURTHER,
    BadProfile,
    Profile,
    UnknownAgent,
    load_profile,
)
from executor.threads import AgentThreads
from executor.workspace.beneath import (
    make_directory,
    opened_directory,
    opened_parent,
    read_ours,
    remove,
    write_file,
)
from executor.workspace.errors import UnsafePath

SESSION_FILE = b".berth/session.json"
SESSION_FILE_BYTES = 64 * 1024

_log = get_logger()


class AgentHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What the next attempt must know; saved with the agent's own store, so that they agree."""

    agent: str = ""
    """The one that ran last."""
    sessions: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Agent → its own session's id."""
    prompted_run: UUID | None = None
    """The agent has taken this run's user message into its own history."""
    prompted_attempt: int = 0


class AgentData:
    def __init__(
        self, workspace: Path, home: Path, threads: AgentThreads, further: Path = FURTHER
    ) -> None:
        """`further`: where profiles stand that are not built in."""
        self._files = _Files(workspace, home, further)
        self._threads = threads

    async def history(self) -> AgentHistory:
        """Empty if there is none, or if what stands there is not ours."""
        return await self._threads.run(self._files.history)

    async def remember(self, history: AgentHistory) -> None:
        """Raises `UnsafePath`, `OSError`."""
        await self._threads.run(self._files.remember, history)

    async def link(self, profile: Profile) -> None:
        """HOME/<state dir> becomes a link into the workspace. Raises `UnsafePath`, `OSError`."""
        await self._threads.run(self._files.link, profile)

    async def link_last(self) -> None:
        """For the agent that ran last, if it is one that is known here."""
        await self._threads.run(self._files.link_last)

    async def broken(self) -> str | None:
        """Why the last agent's own session cannot be resumed from what is restored."""
        return await self._threads.run(self._files.broken)


class _Files:
    def __init__(self, workspace: Path, home: Path, further: Path) -> None:
        self._workspace = workspace
        self._home = home
        self._further = further

    def history(self) -> AgentHistory:
        try:
            with opened_directory(self._workspace) as top:
                content = read_ours(top, SESSION_FILE, limit=SESSION_FILE_BYTES)
            if content is None:
                return AgentHistory()
            return msgspec.json.decode(content, type=AgentHistory)
        except (OSError, UnsafePath, msgspec.MsgspecError) as error:
            _log.warning("agent_history_unreadable", reason=str(error))
            return AgentHistory()

    def remember(self, history: AgentHistory) -> None:
        with opened_directory(self._workspace) as top:
            make_directory(top, b".berth", replace=True)
            write_file(top, SESSION_FILE, msgspec.json.encode(history))

    def link(self, profile: Profile) -> None:
        for state_dir in profile.state_dirs:
            inside = f".berth/agents/{profile.name}/{state_dir}"
            with opened_directory(self._workspace) as top:
                # what an agent put in the way of our own directory goes
                make_directory(top, inside.encode(), replace=True)
            with (
                opened_directory(self._home) as home,
                opened_parent(home, state_dir.encode(), create=True) as (parent, name),
            ):
                _link(parent, name, self._workspace / inside)

    def link_last(self) -> None:
        profile = self._last_profile()
        if profile is not None:
            self.link(profile)

    def broken(self) -> str | None:
        profile = self._last_profile()
        session_id = self.history().sessions.get(profile.name) if profile else None
        if profile is None or session_id is None:
            return None
        from executor.agents.state import broken_state  # noqa: PLC0415 - no start waits for it

        return broken_state(profile, home=self._home, session_id=session_id)

    def _last_profile(self) -> Profile | None:
        agent = self.history().agent
        try:
            return load_profile(agent, self._further) if agent else None
        except (UnknownAgent, BadProfile):
            return None


def _link(parent: int, name: bytes, target: Path) -> None:
    try:
        if os.readlink(name, dir_fd=parent) == os.fsencode(target):
            return
    except OSError:
        # absent, or a directory that was made before it could be linked
        pass
    remove(parent, name)
    os.symlink(target, name, dir_fd=parent)
