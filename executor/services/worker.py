"""What the services of one worker share: wired once, in `app.py`."""

import asyncio

import msgspec

from chassis.clock import Clock
from executor.agents.listener import Loopback
from executor.agents.spared import Spared
from executor.notes import Layered, Notes
from executor.relay import Relay
from executor.reporter import Reporter
from executor.services.agent_data import AgentData
from executor.services.saves import Saves
from executor.settings import Settings
from executor.spool import Spool
from executor.status import Status
from executor.threads import AgentThreads
from executor.workspace.tree import Tree


class Worker(msgspec.Struct):
    settings: Settings
    boot_id: str
    """Of the host."""
    clock: Clock
    status: Status
    relay: Relay
    spool: Spool
    notes: Notes
    reporter: Reporter
    saves: Saves
    agent_data: AgentData
    threads: AgentThreads
    tree: Tree
    spared: Spared = msgspec.field(default_factory=Spared)
    """What of the agent's user outlives its runs: terminals and commands."""
    loopback: Loopback | None = None
    """None: no listener leads to the relay."""
    required_paths: list[str] = msgspec.field(default_factory=list[str])
    """Without one of them no run can start."""
    layered: Layered = msgspec.field(default_factory=Layered)
    upkeep: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    """Held by whoever changes the workspace between runs; runs wait for it."""
