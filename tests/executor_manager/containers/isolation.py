"""What a backend must prove that says it isolates; beside the contract, on the same program."""

import pytest

from executor_manager.containers.backend import ContainerBackend, Limits
from tests.executor_manager.containers.contract import eventually, spec, started, told

MIB = 1024 * 1024


@pytest.mark.isolation
class IsolationContract:
    async def test_network__is_loopback_and_nothing_else(self, backend: ContainerBackend) -> None:
        container = await started(backend, spec())
        assert told(container)["interfaces"] == "lo"

    async def test_processes__are_its_own(self, backend: ContainerBackend) -> None:
        container = await started(backend, spec())
        assert int(told(container)["processes"]) <= 3

    async def test_files__only_memory_can_be_written_besides_its_directories(
        self, backend: ContainerBackend
    ) -> None:
        container = await started(backend, spec())
        assert told(container)["writable"] == "/tmp,/run"

    async def test_powers__are_three_and_can_never_be_more(self, backend: ContainerBackend) -> None:
        seen = told(await started(backend, spec()))
        kill_setgid_setuid = f"{1 << 5 | 1 << 6 | 1 << 7:016x}"
        assert seen["capabilities"] == seen["bounding"] == kill_setgid_setuid
        assert seen["no_new_privileges"] == "1"
        assert seen["seccomp"] == "2"

    async def test_memory__beyond_the_limit_ends_it_and_is_told(
        self, backend: ContainerBackend
    ) -> None:
        limits = Limits(memory_bytes=64 * MIB)
        container = await backend.adopt_or_create(spec(limits=limits, TEST_MEMORY="200"))
        await backend.start(container.name)

        async def exited() -> bool:
            return (found := await backend.get(container.name)) is not None and found.tree_gone

        await eventually(exited)
        found = await backend.get(container.name)
        assert found is not None
        assert (found.out_of_memory, found.exit_code) == (True, -9)
        listed = (await backend.list()).containers
        assert [one.out_of_memory for one in listed if one.name == container.name] == [True]

    async def test_processes__beyond_the_limit_are_not_started(
        self, backend: ContainerBackend
    ) -> None:
        container = await backend.adopt_or_create(spec(limits=Limits(pids=16), TEST_DAEMONS="40"))
        await backend.start(container.name)

        async def exited() -> bool:
            return (found := await backend.get(container.name)) is not None and found.tree_gone

        async def logged() -> bool:
            return b"BlockingIOError" in await backend.logs(container.name)

        await eventually(exited)
        await eventually(logged)
