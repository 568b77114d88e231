"""An executor with a way out to a model: a real relay and a provider, each a process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contracts.relay import RELAY_PUT, RELAY_ROUTES, NamedUpstream, RelayPolicy, RelayRoutes
from contracts.spool import RunFinishedReported
from executor.services.runs import model_path
from tests.executor.outside import Outside
from tests.executor.running import Running, running, settings_at
from tests.executor_manager.relays import TOKEN, Relay
from tests.fixtures.object_store import StoreServer
from tests.fixtures.scripted_model import ScriptedModel, running_model
from tests.fixtures.serving import serving

SETTLED_SECONDS = 30.0
"""For a relay, beside all else that runs, to see that an agent has gone."""


@dataclass
class WayOut:
    relay: Relay
    model: ScriptedModel
    outside: Outside
    policy: RelayPolicy
    routes: RelayRoutes
    executor: Running = field(init=False)

    async def push(self) -> None:
        await self.relay.admin.call(RELAY_ROUTES, self.routes)
        ids = {"worker_id": str(self.policy.worker_id)}
        await self.relay.admin.call(RELAY_PUT, self.policy, path=ids)

    async def run(self, *steps: dict[str, Any], **changes: Any) -> RunFinishedReported:
        done = len(self.outside.of(RunFinishedReported))
        await self.executor.start(*steps, **changes)
        return await self.executor.finish(done + 1)

    async def restart_relay(self) -> None:
        await self.relay.kill()
        await self.relay.start()
        await self.push()

    @property
    def ended(self) -> list[str]:
        """How the model's answers ended, as it says itself."""
        return [line["ended"] for line in self.model.log()]


@asynccontextmanager
async def way_out(
    place: Path, store: StoreServer, *upstreams: NamedUpstream, **changes: Any
) -> AsyncGenerator[WayOut]:
    """`upstreams` instead of the model's own."""
    objects = store.client()
    outside = Outside(objects, f"t/{place.name}")
    known = settings_at(place)
    agent_dir = place / "agent"
    agent_dir.mkdir(mode=0o750)
    with running_model(place) as model, pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_path, "SETTLED_SECONDS", SETTLED_SECONDS)
        policy = RelayPolicy(
            worker_id=known.worker_id,
            epoch=known.epoch,
            control_dir=str(known.control_dir),
            token=TOKEN,
            agent_dir=str(agent_dir),
            upstreams=list(upstreams) or [_leads_to(model.url)],
        )
        async with (
            serving(outside) as control_plane,
            Relay(place / "relay", RELAY_WAIT_SECONDS="2") as relay,
        ):
            routes = RelayRoutes(control_plane_url=control_plane, object_store_url=store.endpoint)
            way = WayOut(relay, model, outside, policy, routes)
            await way.push()
            async with running(
                place, outside, agent_dir=agent_dir, agent_port=0, **changes
            ) as executor:
                way.executor = executor
                yield way
    objects.close()


def _leads_to(url: str) -> NamedUpstream:
    return NamedUpstream(name="models", url=url, methods=["GET", "POST"], paths=["/v1/"])
