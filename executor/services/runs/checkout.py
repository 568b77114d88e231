"""A session that begins with a repository: cloned once, before its first agent starts.

It runs as the agent's user, through the session's egress policy, as the agent's own git would: what
the policy does not name is refused outside, and credentials are added there. A clone that fails is
the run's end with a reason, not an agent's guess. What was cloned is a snapshot of its own, from
which the session's changes are told.
"""

import time
from dataclasses import dataclass

from chassis.failpoints import failpoint
from chassis.logs import get_logger
from contracts.checkouts import GitSource
from contracts.commands import RunSpec
from contracts.events import RunLog, WorkerStep
from contracts.reasons import Reason
from contracts.terminals import ExecCommand, Executed
from executor.agents.environment import tools_environment
from executor.agents.errors import AgentFailed
from executor.reporter import RunReporter
from executor.services.worker import Worker
from executor.terminals.commands import run_command
from executor.terminals.kept import Whose
from executor.workspace import checkout
from executor.workspace.checkout import Placed, PlaceTaken
from executor.workspace.errors import SaveFailed

CLONE_SECONDS = 1800.0
STEP_SECONDS = 600.0
LISTENING_SECONDS = 5.0
GIT = "git"
NAMES_TOLD = 10

_BY_RELAY = (
    "-c", "protocol.allow=never",
    "-c", "protocol.http.allow=always",
)  # fmt: skip
"""Plain HTTP is the way to the relay, within the container; past it nothing is asked."""

_log = get_logger()


@dataclass(slots=True)
class Checkout:
    worker: Worker
    spec: RunSpec
    run: RunReporter

    async def ensure(self) -> None:
        """Nothing, where it was done. Raises `AgentFailed`, `WorkspaceError`, `OSError`."""
        source = self.spec.git
        if source is None or self.spec.has_history:
            return
        if await self.worker.tree.run(checkout.placed) is None:
            began = time.monotonic()
            try:
                await self._make(source)
            except AgentFailed as failure:
                await self._step(began, failure.reason)
                raise
            await self._step(began, "")
            await failpoint("checkout.placed")
        elif self.worker.saves.head is not None:
            return
        await self._save()

    async def _save(self) -> None:
        self.worker.saves.touched()
        try:
            await self.worker.saves.acknowledged(self.run)
        except (SaveFailed, OSError) as error:
            # the run's own save has it, or says why not
            _log.warning("checkout_unsaved", reason=str(error))

    async def _make(self, source: GitSource) -> None:
        tree, git = self.worker.tree, await self._git()
        if not await tree.run(checkout.is_whole):
            what = source.url if source.ref is None else f"{source.url} at {source.ref}"
            await self.run.event(RunLog(text=f"cloning {what}", level="info"))
            await tree.run(checkout.clear)
            await failpoint("checkout.cleared")
            try:
                await git.clone(source)
            except AgentFailed:
                await tree.run(checkout.clear)
                raise
            await failpoint("checkout.cloned")
            await tree.run(checkout.seal)
            await failpoint("checkout.sealed")
        commit = await git.head()
        record = Placed(url=source.url, ref=source.ref or "", commit=commit)
        try:
            await tree.run(checkout.place, record)
        except PlaceTaken as taken:
            await tree.run(checkout.abandon)
            names = ", ".join(one.decode(errors="replace") for one in taken.names[:NAMES_TOLD])
            raise AgentFailed(
                Reason.CHECKOUT_PLACE_TAKEN, f"the workspace has its own {names}"
            ) from None

    async def _git(self) -> "_Git":
        settings, loopback = self.worker.settings, self.worker.loopback
        if loopback is None:
            raise AgentFailed(Reason.CHECKOUT_REFUSED, "this session has no way out at all")
        await loopback.listening(within=LISTENING_SECONDS)
        origin = loopback.url("")
        if origin is None:
            raise AgentFailed(Reason.CHECKOUT_FAILED, "the way out is not open yet")
        # asked for in any case: whether it may be is decided outside, by the policy as it is now
        env = tools_environment(
            home=settings.home_dir, path=settings.agent_path, granted=[GIT], origin=origin
        )
        env |= {"GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C"}
        return _Git(self.worker, env, origin, granted=GIT in settings.egress)

    async def _step(self, began: float, reason: str) -> None:
        await self.worker.reporter.event(
            WorkerStep(
                worker_id=self.worker.settings.worker_id,
                step="clone",
                outcome="failed" if reason else "done",
                duration_ms=round((time.monotonic() - began) * 1000),
                reason=reason,
            )
        )


@dataclass(slots=True)
class _Git:
    """Commands of the real git. No argument of theirs is anybody's secret."""

    worker: Worker
    env: dict[str, str]
    origin: str
    granted: bool

    async def clone(self, source: GitSource) -> None:
        target = checkout.NEW.decode()
        done = await self._run(
            [GIT, *_BY_RELAY, "clone", "--quiet", "--no-checkout", "--", source.url, target],
            CLONE_SECONDS,
        )
        if done.exit_code:
            raise self._refused(done)
        if source.ref is not None:
            await self._switch(source.ref)
        elif await self._resolves("HEAD"):
            await self._need("checkout", "--quiet")

    async def head(self) -> str:
        """Of what is cloned and whole; empty where there is no commit."""
        done = await self._inside(
            ["rev-parse", "--verify", "--quiet", "HEAD"], where=checkout.WHOLE.decode()
        )
        return done.stdout.strip() if done.exit_code == 0 else ""

    async def _switch(self, ref: str) -> None:
        """To a branch of that name, else a tag or a commit, else what the host calls so."""
        branch = f"refs/remotes/origin/{ref}"
        if await self._resolves(branch):
            await self._need("checkout", "--quiet", "-B", ref, "--track", f"origin/{ref}")
        elif await self._resolves(ref):
            await self._need("checkout", "--quiet", "--detach", f"{ref}^{{commit}}")
        elif (await self._inside(["fetch", "--quiet", "origin", ref])).exit_code == 0:
            await self._need("checkout", "--quiet", "--detach", "FETCH_HEAD")
        else:
            raise AgentFailed(Reason.CHECKOUT_REF_MISSING, f"the repository has no {ref}")

    async def _resolves(self, name: str) -> bool:
        asked = ["rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        return (await self._inside(asked)).exit_code == 0

    async def _need(self, *arguments: str) -> None:
        done = await self._inside(list(arguments))
        if done.exit_code:
            raise self._refused(done)

    async def _inside(self, arguments: list[str], *, where: str = "") -> Executed:
        place = where or checkout.NEW.decode()
        return await self._run([GIT, *_BY_RELAY, "-C", place, *arguments], STEP_SECONDS)

    async def _run(self, command: list[str], seconds: float) -> Executed:
        """Raises `AgentFailed` where there is no git."""
        worker = self.worker
        asked = ExecCommand(command=command, timeout_seconds=seconds)
        whose = Whose(identity=worker.threads.identity, spared=worker.spared)
        workspace = worker.settings.workspace_dir
        done = await run_command(asked, env=self.env, cwd=workspace, whose=whose)
        if done.exit_code == NOT_FOUND:
            raise AgentFailed(Reason.CHECKOUT_FAILED, "there is no git in the session's image")
        return done

    def _refused(self, done: Executed) -> AgentFailed:
        words = self._words(done)
        _log.warning("clone_failed", exit_code=done.exit_code, said=words)
        if done.timed_out:
            return AgentFailed(Reason.CHECKOUT_FAILED, f"it took too long; git said: {words}")
        if "No space left on device" in words:
            return AgentFailed(Reason.DISK_FULL, words)
        if ("error: 404" in words or "' not found" in words) and self.granted:
            return AgentFailed(Reason.CHECKOUT_NOT_FOUND, words)
        if "error: 403" in words or not self.granted:
            return AgentFailed(Reason.CHECKOUT_REFUSED, words)
        return AgentFailed(Reason.CHECKOUT_FAILED, words)

    def _words(self, done: Executed) -> str:
        """What git printed last, with the repository's own address."""
        said = done.stderr.strip() or f"git ended with code {done.exit_code}"
        return said.replace(f"{self.origin}/git/", "https://")[-1500:]


NOT_FOUND = 127
"""The exit code of a program that is not there."""
