"""One of our own services as a child: started on its port, ready when `/readyz` says so."""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from cli.embedded.errors import EmbeddedError, PortTaken, StartFailed, full_disk_explained
from cli.embedded.ports import LOOPBACK, Ports
from cli.embedded.processes import Service, ServiceProcess, ready_or_ended
from cli.embedded.state import StateDirectory

_TRIES = 3
_PROBE_EVERY = 0.05
_STOP_WITHIN = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    name: str
    module: str
    env: Callable[[], Mapping[str, str]]
    """Asked at each start: addresses may have changed."""
    ready_within: float = 30.0
    stop_within: float = _STOP_WITHIN
    ends_former: signal.Signals = signal.SIGTERM
    """What a process gets that a killed `berth up` left."""
    port: int | None = None
    """None: the former one, or any that is free."""


class OwnService:
    def __init__(self, config: ServiceConfig, state: StateDirectory, ports: Ports) -> None:
        self.name = config.name
        self.port = 0
        self._config = config
        self._state = state
        self._ports = ports
        self._process = ServiceProcess(self._service({}))

    @property
    def process(self) -> ServiceProcess:
        return self._process

    @property
    def stop_within(self) -> float:
        return self._config.stop_within

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def address(self) -> str:
        return self.url

    async def start(self) -> None:
        """Ready when it returns. Raises an EmbeddedError that says what to do."""
        config = self._config
        with full_disk_explained(self._state.home):
            await self._process.stop(deadline=_STOP_WITHIN, how=config.ends_former)
            self.port = self._ports.pick(self.name, wanted=config.port or None)
            for attempt in range(_TRIES):
                try:
                    return await self._launch_once()
                except PortTaken:
                    if config.port or attempt == _TRIES - 1:
                        raise
                    self.port = self._ports.pick_again(self.name)
        return None

    async def stop(self, *, deadline: float) -> bool:
        """False when it had to be killed."""
        return await self._process.stop(deadline=deadline)

    async def _launch_once(self) -> None:
        own = {"BERTH_HOST": LOOPBACK, "BERTH_PORT": str(self.port)}
        self._process = ServiceProcess(self._service({**own, **self._config.env()}))
        self._process.start()
        within = self._config.ready_within
        probe = asyncio.create_task(self._ready())
        try:
            outcome = await ready_or_ended(self._process, within=within, probe=probe)
        except asyncio.CancelledError:
            await self.stop(deadline=1.0)
            raise
        if outcome != "ready":
            log = self._process.log_tail()
            await self.stop(deadline=1.0)
            raise self._why_not(outcome, log)

    async def _ready(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while True:
                try:
                    answer = await client.get(f"{self.url}/readyz")
                except httpx.TransportError:
                    answer = None
                if answer is not None and answer.is_success:
                    return
                await asyncio.sleep(_PROBE_EVERY)

    def _service(self, env: Mapping[str, str]) -> Service:
        config = self._config
        argv = (sys.executable, "-m", config.module)
        return self._state.service(config.name, argv, env=dict(env))

    def _why_not(self, outcome: str, log: str) -> EmbeddedError:
        if "is taken by another process" in log:
            return PortTaken(
                f"Port {self.port} for {self.name} is taken by another process. "
                "Stop that process, or choose another port."
            )
        within = self._config.ready_within
        how = "ended at once" if outcome == "ended" else f"was not ready after {within:g} s"
        path = self._state.logs / f"{self.name}.log"
        return StartFailed(f"{self.name} {how}. See {path}, which ends with:\n{log}")
