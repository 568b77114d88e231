"""The relay as a real process: what goes through, what does not, and what survives."""

import asyncio
import gzip
import hashlib
import os
import signal
import stat
from pathlib import Path

import pytest

from chassis.errors import CallFailed
from chassis.ids import new_id
from contracts.relay import RELAY_DELETE, RELAY_PUT, RelayPolicy
from contracts.wire import Empty
from tests.executor_manager.relay.tunnelling import ended
from tests.executor_manager.relay.witness import Request, Witness
from tests.executor_manager.relays import TOKEN, Bound, Relay, Upstream

SIGNED = (
    "/objects/bucket/p/s/packs/a%3Db?X-Amz-SignedHeaders=content-md5%3Bhost&X-Amz-Signature=ab12"
)


async def test_callback__goes_with_the_workers_token_and_without_what_the_client_claims(
    relay: Relay, upstream: Upstream
) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    claims = (
        "Authorization: Bearer stolen\r\nX-Berth-Identity: root\r\nCookie: a=b\r\n"
        "X-API-Key: k\r\nX-Forwarded-For: 1.1.1.1\r\ntraceparent: 00-aa-bb-01\r\n"
    )
    target = f"/internal/v1/workers/{worker.worker_id}/callbacks"
    answer = await worker.ask(target, headers=claims, body=b"{}")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"first " in answer
    assert b"Set-Cookie" not in answer
    (seen,) = upstream.seen
    assert (seen.method, seen.target, seen.size) == ("POST", target, 2)
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["traceparent"] == "00-aa-bb-01"
    assert not {"cookie", "x-berth-identity", "x-api-key", "x-forwarded-for"} & set(seen.headers)


@pytest.mark.parametrize(
    "suffix",
    [
        *("callbacks", "restore", "transcript", "uploads", "downloads"),
        *("side-snapshot", "grants/{g}/take"),
    ],
)
async def test_every_call_of_a_worker__passes(
    relay: Relay, upstream: Upstream, suffix: str
) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    path = f"/internal/v1/workers/{worker.worker_id}/{suffix.format(g=new_id())}"
    assert (await worker.ask(path)).startswith(b"HTTP/1.1 200")


DENIED = [
    ("POST", "/internal/v1/workers/{other}/callbacks"),
    ("POST", "/internal/v1/workers/{WORKER}/callbacks"),
    ("POST", "/internal/v1/workers/{worker}/../{other}/callbacks"),
    ("POST", "/internal/v1/workers/{worker}/./callbacks"),
    ("POST", "/internal/v1/workers/{worker}/%2e%2e/{other}/callbacks"),
    ("POST", "/internal/v1/workers/{worker}/..%2f{other}/callbacks"),
    ("POST", "/internal/v1/workers/{worker}%2fcallbacks"),
    ("POST", "/internal/v1/workers/{worker}/callbacks/"),
    ("POST", "/internal/v1/workers/{worker}/callbacks?worker={other}"),
    ("POST", "/internal/v1/workers/{worker}/callbacks#x"),
    ("POST", "//internal/v1/workers/{worker}/callbacks"),
    ("POST", "/internal/v1/workers//{worker}/callbacks"),
    ("POST", "http://{upstream}/internal/v1/workers/{worker}/callbacks"),
    ("POST", "http://{upstream}/internal/v1/managers/register"),
    ("POST", "/internal/v1/managers/register"),
    ("POST", "/internal/v1/workers/{worker}/grants/x/take"),
    ("POST", "/internal/v1/workers/{worker}/unknown"),
    ("POST", "/api/v1/sessions"),
    ("GET", "/internal/v1/workers/{worker}/callbacks"),
    ("PUT", "/internal/v1/workers/{worker}/callbacks"),
    ("DELETE", "/internal/v1/workers/{worker}/callbacks"),
    ("GET", "/"),
    ("GET", "/objects/bucket/key"),
    ("GET", "/objects/bucket/key?X-Amz-Expires=1"),
    ("GET", "/objects/bucket/key?a=X-Amz-Signature=ab"),
    ("GET", "/objects/bucket/../key?X-Amz-Signature=ab"),
    ("GET", "/objects/bucket/%2E%2e/key?X-Amz-Signature=ab"),
    ("GET", "/objects/bucket%2fkey?X-Amz-Signature=ab"),
    ("GET", "/objects//evil/key?X-Amz-Signature=ab"),
    ("GET", "http://{upstream}/objects/bucket/key?X-Amz-Signature=ab"),
    ("POST", "/objects/bucket/key?X-Amz-Signature=ab"),
    ("DELETE", "/objects/bucket/key?X-Amz-Signature=ab"),
]


async def test_everything_else__is_denied_and_logged_and_reaches_no_upstream(
    relay: Relay, upstream: Upstream
) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    other = await relay.bind(token="another")
    wrong: list[str] = []
    for method, pattern in DENIED:
        target = pattern.format(
            worker=worker.worker_id,
            WORKER=str(worker.worker_id).upper(),
            other=other.worker_id,
            upstream=upstream.url.removeprefix("http://"),
        )
        answer = await worker.ask(target, method=method)
        if not answer.startswith(b"HTTP/1.1 403"):
            wrong.append(f"{method} {target}: {answer[:80]!r}")
    assert wrong == []
    assert upstream.seen == []
    assert relay.log.count("relay_denied") == len(DENIED)


async def test_a_connect__gets_nowhere(relay: Relay, upstream: Upstream) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    address = upstream.url.removeprefix("http://")
    answer = await worker.send(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    assert not answer.startswith(b"HTTP/1.1 2")
    assert upstream.seen == []


async def test_a_request_with_two_lengths__is_refused(relay: Relay, upstream: Upstream) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    target = f"/internal/v1/workers/{worker.worker_id}/callbacks"
    answer = await worker.ask(target, headers="Transfer-Encoding: chunked\r\n", body=b"0\r\n\r\n")
    assert b" 400 Bad Request" in answer[:30]
    assert upstream.seen == []


async def test_object__goes_byte_for_byte_without_the_token(
    relay: Relay, upstream: Upstream
) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    body = os.urandom(3 * 1024 * 1024)
    headers = "Content-MD5: abc==\r\nX-Amz-Copy-Source: /bucket/secret\r\nAuthorization: x\r\n"
    answer = await worker.ask(SIGNED, method="PUT", headers=headers, body=body)
    assert answer.startswith(b"HTTP/1.1 200")
    (seen,) = upstream.seen
    assert seen.target == SIGNED.removeprefix("/objects")
    assert seen.headers["host"] == upstream.url.removeprefix("http://")
    assert seen.headers["content-length"] == str(len(body))
    assert seen.headers["content-md5"] == "abc=="
    assert not {"authorization", "x-amz-copy-source"} & set(seen.headers)
    assert seen.sha256 == hashlib.sha256(body).hexdigest()


async def test_an_answer__is_streamed_as_it_comes(relay: Relay, upstream: Upstream) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    upstream.gate = asyncio.Event()
    reader, writer = await asyncio.open_unix_connection(str(worker.path))
    writer.write(f"GET {SIGNED} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(30):
        await reader.readuntil(b"first ")
        upstream.gate.set()
        await reader.readuntil(b"second")
    writer.close()


async def test_an_upstream_that_is_away__is_waited_for(relay: Relay, upstream: Upstream) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    await upstream.close()
    target = f"/internal/v1/workers/{worker.worker_id}/callbacks"
    asking = asyncio.create_task(worker.ask(target, body=b"once"))
    done, _ = await asyncio.wait([asking], timeout=0.5)
    assert not done
    await upstream.open()
    assert (await asking).startswith(b"HTTP/1.1 200")
    assert [seen.size for seen in upstream.seen] == [4]


async def test_an_upstream_that_stays_away__is_told_as_unavailable(
    short_dir: Path, upstream: Upstream
) -> None:
    async with Relay(short_dir / "relay", RELAY_WAIT_SECONDS="1") as relay:
        await relay.route(upstream.url)
        worker = await relay.bind()
        await upstream.close()
        answer = await worker.ask(f"/internal/v1/workers/{worker.worker_id}/restore")
        await upstream.open()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"dependency_unavailable" in answer


async def test_restart__binds_again_when_policies_are_pushed_again(
    relay: Relay, upstream: Upstream
) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    before = await relay.listing()
    assert before.workers == [worker.worker_id]
    await relay.kill()
    assert worker.path.is_socket()
    await relay.start()
    after = await relay.listing()
    assert (after.boot != before.boot, after.routes, after.workers) == (True, None, [])
    await relay.route(upstream.url)
    await relay.bind(worker.worker_id, token="fresh")
    await worker.ask(f"/internal/v1/workers/{worker.worker_id}/restore")
    assert upstream.seen[-1].headers["authorization"] == "Bearer fresh"


async def test_restart__ends_tunnels_and_there_are_none_until_they_are_pushed(
    relay: Relay,
) -> None:
    worker = await relay.bind(upstreams=[])
    agent = Bound(worker.worker_id, worker.path.parent.parent / "agent" / "agent.sock")
    reader, writer = await asyncio.open_unix_connection(str(agent.path))
    writer.write(b"CONNECT files.example.org:443 HTTP/1.1\r\n")
    await relay.kill()
    assert await ended(reader)
    writer.close()
    await relay.start()
    with pytest.raises(ConnectionRefusedError):
        await agent.send(b"CONNECT files.example.org:443 HTTP/1.1\r\n\r\n")
    await relay.bind(worker.worker_id, upstreams=[])
    answer = await agent.send(b"CONNECT files.example.org:443 HTTP/1.1\r\n\r\n")
    assert b'"rule":"no_tunnels"' in answer


async def test_a_fresh_token__needs_no_new_socket(relay: Relay, upstream: Upstream) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    inode = worker.path.stat().st_ino
    await relay.bind(worker.worker_id, token="fresh")
    await worker.ask(f"/internal/v1/workers/{worker.worker_id}/restore")
    assert worker.path.stat().st_ino == inode
    assert upstream.seen[-1].headers["authorization"] == "Bearer fresh"


async def test_a_deleted_worker__has_no_socket(relay: Relay) -> None:
    worker = await relay.bind()
    await relay.admin.call(RELAY_DELETE, Empty(), path={"worker_id": str(worker.worker_id)})
    assert not worker.path.exists()
    assert (await relay.listing()).workers == []


async def test_a_long_socket_path__is_refused_with_its_length(
    relay: Relay, short_dir: Path
) -> None:
    control = short_dir / ("d" * 100) / "control"
    control.mkdir(parents=True)
    worker_id = new_id()
    policy = RelayPolicy(worker_id=worker_id, epoch=1, control_dir=str(control), token="t")
    with pytest.raises(CallFailed, match="a socket's path ends at 107"):
        await relay.admin.call(RELAY_PUT, policy, path={"worker_id": str(worker_id)})


async def test_sockets__are_for_their_owner_only(relay: Relay) -> None:
    worker = await relay.bind()
    for path in (worker.path, relay.admin_socket):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.root
async def test_a_workers_socket__belongs_to_the_owner_of_its_directory(
    relay: Relay, short_dir: Path
) -> None:
    worker_id = new_id()
    control = short_dir / str(worker_id)[-6:] / "control"
    control.mkdir(parents=True)
    os.chown(control, 10001, 10001)
    worker = await relay.bind(worker_id)
    assert (worker.path.stat().st_uid, worker.path.stat().st_gid) == (10001, 10001)


async def test_a_second_relay__gives_way(relay: Relay) -> None:
    second = Relay(relay.directory)
    await second.start()
    assert second.process is not None
    assert await second.process.wait() == 75
    await second.admin.aclose()


async def test_terminated__it_leaves_no_socket(relay: Relay) -> None:
    worker = await relay.bind()
    await relay.kill(signal.SIGTERM)
    assert not worker.path.exists()
    assert TOKEN not in relay.log


async def test_a_compressed_body__goes_on_as_it_is_and_smuggles_nothing(
    relay: Relay, upstream: Upstream
) -> None:
    await relay.route(upstream.url)
    worker = await relay.bind()
    target = f"/internal/v1/workers/{worker.worker_id}/callbacks"
    hidden = b"POST /api/v1/hidden HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    body = gzip.compress(b"\r\n" * 200 + hidden)
    answer = await worker.ask(target, headers="Content-Encoding: gzip\r\n", body=body)
    assert answer.startswith(b"HTTP/1.1 200")
    await worker.ask(target, body=b"{}")
    assert [seen.target for seen in upstream.seen] == [target, target]
    assert [seen.size for seen in upstream.seen] == [len(body), 2]


async def test_an_upstream_that_speaks_no_http__is_told_without_the_token(
    relay: Relay, witness: Witness
) -> None:
    async def garbage(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 what\r\nthis is: no\x00 HTTP\r\n\r\n")

    witness.answer = garbage
    await relay.route(f"http://127.0.0.1:{witness.port}")
    worker = await relay.bind()
    answer = await worker.ask(f"/internal/v1/workers/{worker.worker_id}/callbacks", body=b"{}")
    assert answer.startswith(b"HTTP/1.1 503")
    assert witness.seen[0].all("authorization") == [f"Bearer {TOKEN}"]
    assert "upstream_failed" in relay.log
    assert TOKEN not in relay.log
