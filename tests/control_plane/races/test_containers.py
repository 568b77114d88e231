"""Who is given a session whose app says what it runs in: whoever grants it, else nobody."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from contracts.containers import ContainerOffer
from contracts.managers import AgentOffer, ClaimedRun, Register, WorkerChange
from tests.fixtures.berth import Berth
from tests.fixtures.office import AGENT, Host, Office

IMAGE = "team/data:2"
DATA = ContainerOffer(images=["berth-executor:latest", IMAGE], runtimes=["runsc"], untrusted=[])
PLAIN = ContainerOffer(images=["berth-executor:latest"], untrusted=["runc_version: CVE-1"])


async def host(office: Office, offer: ContainerOffer | None, *agents: str) -> Host:
    """None: of a former version, which says nothing."""
    told = Register(
        manager_id=uuid4(),
        name="host",
        backend="docker",
        max_workers=10,
        agents=[AgentOffer(agent=agent) for agent in agents or (AGENT,)],
    )
    if offer is not None:
        told = msgspec.structs.replace(told, containers=offer)
    return Host(told.manager_id, (await office.managers.register(told)).incarnation)


async def session(office: Office, **container: str) -> UUID:
    project = await office.project()
    made, app = await office.session(project), uuid4()
    await office.execute(
        "INSERT INTO apps (id, project_id, name, agent, container) VALUES ($1, $2, 'a', $3, $4)",
        app,
        project,
        AGENT,
        msgspec.json.encode(container).decode(),
    )
    await office.execute("UPDATE sessions SET app_id = $2 WHERE id = $1", made, app)
    return made


async def ended(office: Office, run_id: UUID) -> Any:
    (row,) = await office.fetch(
        "SELECT r.state::text AS state, p.reason, p.detail FROM runs r"
        " JOIN run_payloads p ON p.run_id = r.id WHERE r.id = $1",
        run_id,
    )
    return row


async def claimed(office: Office, host: Host) -> list[UUID]:
    return [run.worker.session_id for run in await office.claim_all(host)]


@pytest.mark.parametrize(
    "container",
    [{"image": IMAGE}, {"runtime": "runsc"}, {"tier": "untrusted"}],
    ids=lambda value: next(iter(value)),
)
async def test_claim__is_given_to_whoever_grants_it(
    office: Office, container: dict[str, str]
) -> None:
    special = await session(office, **container)
    plain = await office.session()
    for one in (special, plain):
        await office.send(one)
    former = await host(office, None)
    assert await claimed(office, former) == [plain]
    assert await claimed(office, await host(office, PLAIN)) == []
    able = await host(office, DATA)
    claim_id = uuid4()
    (given,) = await office.claim_all(able, claim_id=claim_id)
    (again,) = await office.claim_all(able, claim_id=claim_id)
    for run in (given, again):
        assert run.worker.session_id == special
        assert said(run) == {"image": "", "runtime": "", "tier": "trusted"} | container


def said(run: ClaimedRun) -> dict[str, Any]:
    grant = msgspec.structs.asdict(run.worker)
    return {name: grant[name] for name in ("image", "runtime", "tier")}


async def test_registration__says_it_again_of_the_workers_that_are_there(office: Office) -> None:
    await office.send(await session(office, image=IMAGE, tier="untrusted"))
    able = await host(office, DATA)
    await office.claim(able)
    told = Register(
        manager_id=able.id,
        name="host",
        backend="docker",
        max_workers=1,
        agents=[AgentOffer(agent=AGENT)],
    )
    (grant,) = (await office.managers.register(told)).workers
    assert (grant.image, grant.tier) == (IMAGE, "untrusted")


async def test_many_that_nobody_grants__stand_in_nobodys_way(office: Office) -> None:
    refused = await session(office, image="another:1")
    project = await office.value("SELECT project_id FROM sessions WHERE id = $1", refused)
    app = await office.value("SELECT app_id FROM sessions WHERE id = $1", refused)
    await office.send(refused)
    for _ in range(30):
        made = await office.session(project)
        await office.execute("UPDATE sessions SET app_id = $2 WHERE id = $1", made, app)
        await office.send(made)
    plain = await office.session(project)
    await office.send(plain)
    assert await claimed(office, await host(office, DATA)) == [plain]


@pytest.mark.parametrize(
    ("container", "reason", "words"),
    [
        ({"image": IMAGE}, "image_not_allowed", f"the image {IMAGE} is not allowed"),
        ({"runtime": "runsc"}, "runtime_missing", "no runtime runsc"),
        ({"tier": "untrusted"}, "tier_refused", "runc_version: CVE-1"),
    ],
)
async def test_unoffered__is_blocked_with_the_rule(
    office: Office, container: dict[str, str], reason: str, words: str
) -> None:
    run = await office.send(await session(office, **container))
    await host(office, PLAIN)
    assert await office.rescue.block_unoffered() == 0, "it has not waited for long"
    await office.execute("UPDATE runs SET available_at = now() - interval '1 hour'")
    able = await host(office, DATA)
    assert await office.rescue.block_unoffered() == 0, "a manager grants it"
    await office.execute("DELETE FROM managers WHERE id = $1", able.id)
    assert await office.rescue.block_unoffered() == 1
    row = await ended(office, run)
    assert (row["state"], row["reason"]) == ("blocked", reason)
    assert words in row["detail"]


async def test_unoffered__agent_and_container_must_be_of_one_manager(office: Office) -> None:
    run = await office.send(await session(office, image=IMAGE))
    await host(office, PLAIN)
    await host(office, DATA, "another")
    await office.execute("UPDATE runs SET available_at = now() - interval '1 hour'")
    assert await office.rescue.block_unoffered() == 1
    detail = await office.value("SELECT detail FROM run_payloads WHERE run_id = $1", run)
    assert detail.endswith("and its app's container together")


async def test_unoffered__a_session_that_has_its_worker_is_left_alone(office: Office) -> None:
    made = await session(office, image=IMAGE)
    await office.send(made)
    able = await host(office, DATA)
    berth = await office.claim(able)
    await office.execute('UPDATE apps SET container = \'{"image": "another:1"}\'')
    await office.execute(
        "UPDATE runs SET state = 'queued', worker_id = NULL, claim_id = NULL,"
        " available_at = now() - interval '1 hour' WHERE id = $1",
        berth.run_id,
    )
    assert await office.rescue.block_unoffered() == 0
    assert await claimed(office, able) == [made]


async def test_refused_by_its_host__is_tried_again_and_ends_by_its_own_name(office: Office) -> None:
    run = await office.send(await session(office, image=IMAGE))
    able = await host(office, DATA)
    for _ in range(office.settings.max_losses):
        await office.execute("UPDATE runs SET available_at = now() WHERE state = 'queued'")
        await refuse(office, able, await office.claim(able))
    row = await ended(office, run)
    assert (row["state"], row["reason"]) == ("failed", "image_missing")
    assert "load it" in row["detail"]


async def refuse(office: Office, host: Host, berth: Berth) -> None:
    told = WorkerChange(
        incarnation=host.incarnation,
        epoch=berth.grant.epoch,
        change="failed",
        reason="image_missing",
        detail="the engine has no image: load it",
    )
    await office.workers.change(host.id, berth.grant.worker_id, told)


async def test_ready__says_what_its_container_is_made_of(office: Office) -> None:
    await office.send(await office.session())
    able = await host(office, DATA)
    berth = await office.claim(able)
    image = f"sha256:{'1' * 64}"
    told = WorkerChange(
        incarnation=able.incarnation, epoch=berth.grant.epoch, change="ready", image=image
    )
    await office.workers.change(able.id, berth.grant.worker_id, told)
    assert await office.value("SELECT image FROM session_workers") == image
