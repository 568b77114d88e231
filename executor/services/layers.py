"""What an app and a project lay over a restored workspace: seed files, mounts, fix-ups.

L1 seed files become the session's own; L2 mounts are made anew by each worker, are read-only, and
belong to no snapshot; L4 cleans up and protects. Whose a path is, is decided by what was recorded
when it was given: conflicts go by the app's policy. Contents are verified before they are used.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from chassis.errors import BerthError
from chassis.failpoints import failpoint
from chassis.files.sensitive import NOTHING
from chassis.logs import get_logger
from contracts.reasons import Reason
from contracts.runtime_manifests import ConflictPolicy
from contracts.snapshots import MAX_OBJECT_BYTES, Layer, LayerFile, RestorePlan
from executor.files.unpacking import Unpacking
from executor.notes import Layered
from executor.object_calls import Content
from executor.threads import in_thread
from executor.workspace import layers
from executor.workspace.errors import RestoreFailed
from executor.workspace.layers import Record, relative
from executor.workspace.transfer import Store
from executor.workspace.tree import Tree

FETCHES = 16
"""At once: each is a request to a store that may be far away."""
LARGE_BYTES = 2 * 1024 * 1024
"""Files above it are fetched one at a time."""
UNPACK_BYTES = 1024 * 1024
MEND = (
    "put the project's file again (berth projects files put), or take it out of the app's"
    " runtime_manifest; then send the message again"
)

_log = get_logger()


Own = Callable[[list[str]], Awaitable[None]]


class Layering:
    """One pass. `ours`: mounts that this worker made before. `own` is told which are the layers'
    before anything of theirs is at a new path, and before what is withdrawn goes.
    """

    def __init__(
        self,
        tree: Tree,
        store: Store,
        plan: RestorePlan,
        ours: Sequence[str] = (),
        own: Own | None = None,
    ) -> None:
        self._tree = tree
        self._store = store
        self._plan = plan
        self._mounts = list(ours)
        self._own = own
        self._record = Record()
        self._conflicts: list[str] = []
        self._warnings: list[str] = []
        self._large = asyncio.Lock()

    async def apply(self) -> Layered:
        """Raises `RestoreFailed`, `Superseded`, `OSError`; it may be called again then."""
        await self._tree.run(layers.discard)
        self._record = await self._tree.run(layers.record_in)
        verdict = runtime_verdict(self._record.runtime_version, self._plan.runtime_version)
        saved, ours = self._record.runtime_version, self._plan.runtime_version
        if verdict == "refused":
            detail = f"runtime {saved} saved the session; the app's is {ours}"
            return Layered(mounts=self._mounts, blocked=Reason.RUNTIME_TOO_OLD, detail=detail)
        if verdict == "warning":
            self._warnings.append(f"runtime {saved} saved the session; the app's is {ours}")
        self._store.expect(
            [file.key for layer in self._plan.layers for file in layer.files if file.key]
        )
        for layer in self._plan.layers:
            if layer.kind == "seed":
                await self._seed(layer)
        await failpoint("layers.after_seeds")
        await self._withdraw()
        for layer in self._plan.layers:
            if layer.kind == "mount":
                await self._mount(layer)
        await failpoint("layers.after_mounts")
        await self._fix_up()
        return self._result()

    def _result(self) -> Layered:
        mounts = self._mounts
        if self._conflicts and self._plan.conflict_policy is ConflictPolicy.FAIL:
            detail = "the session has its own " + ", ".join(self._conflicts[:10])
            return Layered(mounts=mounts, blocked=Reason.LAYER_CONFLICT, detail=detail)
        if self._conflicts and self._plan.conflict_policy is ConflictPolicy.KEEP_SESSION:
            self._warnings.append("the session keeps its own " + ", ".join(self._conflicts[:10]))
        return Layered(mounts=mounts, warnings=self._warnings)

    async def _fix_up(self) -> None:
        for rule in self._plan.cleanup_rules:
            await self._tree.run(layers.clean, rule)
        # what is inside first: the way to it is opened up
        deepest_first = sorted(self._plan.protected_paths, key=lambda path: -path.count("/"))
        for path in deepest_first:
            await self._tree.run(layers.protect, relative(path))
        plan = self._plan
        newest = max(self._record.runtime_version, plan.runtime_version, key=numbers)
        record = msgspec.structs.replace(self._record, runtime_version=newest)
        if record != self._record:
            await self._tree.run(layers.remember, record)

    # --- L1 ---------------------------------------------------------------------------------------

    async def _seed(self, layer: Layer) -> None:
        given = set(self._record.seeds)
        wanted = [file for file in layer.files if file.sha256 is not None]
        places = {_place(layer, file): file for file in wanted}
        due = {
            path: file for path, file in places.items() if await self._is_due(path, path in given)
        }
        if layer.unpack:
            for path, file in due.items():
                await self._unpack(layer, path, file)
        else:
            await _at_once(self._put(layer, path, file) for path, file in due.items())
        seeds = list(dict.fromkeys([*self._record.seeds, *due]))
        if seeds != self._record.seeds:
            # at once: what was given is not given again after a crash, whatever becomes of it
            self._record = msgspec.structs.replace(self._record, seeds=seeds)
            await self._tree.run(layers.remember, self._record)

    async def _is_due(self, path: str, given: bool) -> bool:  # noqa: FBT001  # of two words
        replaces = self._plan.conflict_policy is ConflictPolicy.REPLACE
        taken = await self._tree.run(layers.is_taken, relative(path))
        if taken and not given:
            self._conflicts.append(path)
        return replaces or not (taken or given)

    async def _put(self, layer: Layer, path: str, file: LayerFile) -> None:
        content = await self._content(layer, file)
        mode = 0o755 if file.executable else 0o644
        staged = await self._tree.run(layers.stage_file, relative(path), content, mode)
        await self._tree.run(layers.publish, staged)

    async def _unpack(self, layer: Layer, path: str, file: LayerFile) -> None:
        """Nothing of an archive that is refused; it is unpacked by who unpacks uploads."""
        content = await self._content(layer, file)
        try:
            await self._tree.run(_unpacked, relative(path), content)
        except BerthError as error:
            detail = f"{_named(layer, file)}: {error.detail}: {MEND}"
            raise RestoreFailed("seed_archive_refused", detail) from error

    # --- L2 ---------------------------------------------------------------------------------------

    async def _withdraw(self) -> None:
        """Mounts that the plan has no more."""
        wanted = {layer.path for layer in self._plan.layers if layer.kind == "mount"}
        for path in [path for path in self._mounts if path not in wanted]:
            await self._owning([one for one in self._mounts if one != path])
            await self._tree.run(layers.withdraw, path)

    async def _owning(self, mounts: list[str]) -> None:
        self._mounts = mounts
        if self._own is not None:
            await self._own(mounts)

    async def _mount(self, layer: Layer) -> None:
        path = relative(layer.path)
        is_new = layer.path not in self._mounts
        if is_new and await self._tree.run(layers.is_taken, path):
            self._conflicts.append(layer.path)
            if self._plan.conflict_policy is not ConflictPolicy.REPLACE:
                return
        if [file.path for file in layer.files] == [""]:
            file = layer.files[0]
            content = await self._content(layer, file)
            mode = 0o555 if file.executable else 0o444
            staged = await self._tree.run(layers.stage_file, path, content, mode)
        else:
            staged = await self._tree.run(layers.stage_tree, path)
            await _at_once(self._add(layer, staged, file) for file in layer.files)
        if is_new:
            await self._owning([*self._mounts, layer.path])
        await self._tree.run(layers.publish, staged, read_only=True)

    async def _add(self, layer: Layer, staged: layers.Staged, file: LayerFile) -> None:
        content = None if file.sha256 is None else await self._content(layer, file)
        await self._tree.run(layers.add, staged, file, content)

    # --- contents ---------------------------------------------------------------------------------

    async def _content(self, layer: Layer, file: LayerFile) -> Content:
        """Exactly what the plan says. Raises `RestoreFailed`."""
        if file.size > LARGE_BYTES:
            async with self._large:
                return await self._fetched(layer, file)
        return await self._fetched(layer, file)

    async def _fetched(self, layer: Layer, file: LayerFile) -> Content:
        content: Content = b""
        if file.text is not None:
            content = file.text.encode()
        elif file.size > MAX_OBJECT_BYTES:
            detail = f"{_named(layer, file)}: more than {MAX_OBJECT_BYTES} bytes: {MEND}"
            raise RestoreFailed("layer_too_large", detail)
        elif file.size and file.key is not None:
            content = await self._store.read(file.key, (0, file.size), whole=True)
        if len(content) != file.size or await in_thread(_sha256, content) != file.sha256:
            _log.error("layer_damaged", key=file.key, path=file.path)
            detail = f"{_named(layer, file)}: its content is not what was kept: {MEND}"
            raise RestoreFailed("layer_damaged", detail)
        return content


def apart_of(layered: Layered) -> frozenset[bytes]:
    """For saves."""
    return frozenset(map(relative, layered.mounts))


def _unpacked(root: Path, path: bytes, content: Content) -> None:
    unpacking = Unpacking(root, path, NOTHING)
    try:
        for start in range(0, len(content), UNPACK_BYTES):
            unpacking.feed(bytes(content[start : start + UNPACK_BYTES]))
        unpacking.finish()
    finally:
        unpacking.abandon()


def runtime_verdict(saved: str, ours: str) -> Literal["fits", "warning", "refused"]:
    """Whether a runtime may open what another one left: `control_plane.domain` says the same."""
    if not saved or not ours or numbers(saved) <= numbers(ours):
        return "fits"
    return "refused" if numbers(saved)[0] > numbers(ours)[0] else "warning"


def numbers(version: str) -> tuple[int, ...]:
    """What cannot be read is older than all: whoever wrote it wanted to be let in."""
    parts = version.split(".")
    if not all(part.isdecimal() and len(part) <= 6 for part in parts):
        return (0, 0, 0)
    return tuple([*map(int, parts), 0, 0, 0][:3])


def _place(layer: Layer, file: LayerFile) -> str:
    return f"{layer.path}/{file.path}" if file.path else layer.path


def _named(layer: Layer, file: LayerFile) -> str:
    return f"the {layer.kind} of {_place(layer, file)}"


def _sha256(content: Content) -> str:
    return hashlib.sha256(content).hexdigest()


async def _at_once(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """A few at a time; the first failure ends the others, and none is left running."""
    waiting = list(works)
    waiting.reverse()

    async def work() -> None:
        while waiting:
            await waiting.pop()

    tasks = [asyncio.ensure_future(work()) for _ in range(min(FETCHES, len(waiting)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in waiting:
            one.close()
