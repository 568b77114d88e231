"""What passes through the gateway, byte by byte, and what does not."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.fixtures.gateway import Front
from tests.fixtures.upstream import KEY, Upstream

SPOOFED = {
    "X-Berth-Identity": "forged",
    "X_Berth_Identity": "forged",
    "X-User-Id": "1",
    "X-Internal-Token": "1",
    "X-Forwarded-For": "10.0.0.1",
    "X-Forwarded-Prefix": "/x",
    "Forwarded": "for=10.0.0.1",
    "X-Real-IP": "10.0.0.1",
    "X-Mine": "kept",
    "Connection": "keep-alive, x-named",
    "X-Named": "1",
    "TE": "trailers",
}


async def test_headers__nobody_speaks_for_the_gateway(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    async with http.get("/api/v1/x", headers=SPOOFED) as answer:
        assert answer.status == 200
        assert answer.headers["X-Upstream"] == "yes"
        assert "X-Hop" not in answer.headers
    sent = upstream.seen[0].headers
    assert sent["x-forwarded-for"] == "127.0.0.1"
    assert sent["x-mine"] == "kept"
    assert "forged" not in sent.values()
    gone = {"x-user-id", "x-internal-token", "x-forwarded-prefix", "forwarded", "x-real-ip"}
    assert not sent.keys() & (gone | {"x-named", "te", "x_berth_identity"})


async def test_trace__starts_here_and_reaches_the_upstream(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    async with http.get("/api/v1/x", headers={"X-Request-ID": "mine"}) as answer:
        trace = answer.headers["X-Trace-ID"]
        assert answer.headers["X-Request-ID"] == "mine"
    sent = upstream.seen[0].headers
    assert sent["traceparent"].split("-")[1] == trace
    assert sent["x-request-id"] == "mine"


async def test_target__arrives_as_it_was_sent(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    target = "/api/v1/files/a%20b/%C3%A4?path=/x%2Fy/../z&q=%26+1"
    async with http.delete(URL(str(http._base_url).rstrip("/") + target, encoded=True)) as answer:
        assert answer.status == 200
    assert (upstream.seen[0].method, upstream.seen[0].target) == ("DELETE", target)


@pytest.mark.parametrize(
    "path",
    [
        "/internal/v1/keys/introspect",
        "//internal/v1/keys/introspect",
        "/%69nternal/v1/keys/introspect",
        "/%2569nternal/v1/keys/introspect",
        "/api/../internal/v1/keys/introspect",
        "/api/%2e%2e/internal/v1/keys/introspect",
        "/api/%252e%252e/internal/v1/keys/introspect",
        "/api/..%2finternal/v1/keys/introspect",
        "/api/.%2e/internal",
        "/api/v1/a%2fb",
        "/api//v1",
        "/api/v1/a%5c..%5cb",
        "/api/v1/%00",
        "/INTERNAL/v1/x",
        "/readyz/",
        "/docs",
        "/schemas",
        "/apis/v1",
        "/",
    ],
)
async def test_path__that_is_not_plainly_public_is_not_found(
    http: aiohttp.ClientSession, upstream: Upstream, path: str
) -> None:
    url = URL(str(http._base_url).rstrip("/") + path, encoded=True)
    async with http.get(url) as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "not_found"
    assert upstream.seen == []


async def test_absolute_target__is_not_followed(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    base = http._base_url
    assert base is not None
    reader, writer = await asyncio.open_connection(base.host, base.port)
    line = f"GET http://127.0.0.1/internal/v1/x HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n"
    writer.write(line.encode())
    assert b" 404 " in await asyncio.wait_for(reader.readline(), 30)
    writer.close()


async def test_body__announced_too_large_is_refused_unread(
    front: Front, upstream: Upstream
) -> None:
    async with front(max_body_bytes=1000) as http:
        async with http.post("/api/v1/x", data=b"x" * 1000) as answer:
            assert answer.status == 200
        async with http.post("/api/v1/x", data=b"x" * 1001) as answer:
            assert (answer.status, (await answer.json())["code"]) == (413, "too_large")
    assert [len(one.body) for one in upstream.seen] == [1000]


NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        (f"/api/v1/projects/{NOBODY}/sessions/import", "max_import_bytes"),
        (f"/api/v1/sessions/{NOBODY}/workspace/import", "max_import_bytes"),
        (f"/api/v1/projects/{NOBODY}/files/upload", "max_upload_bytes"),
    ],
)
async def test_body__of_an_archive_has_a_limit_of_its_own(
    front: Front, upstream: Upstream, path: str, limit: str
) -> None:
    """No other path has it, however it is written."""
    async with front(max_body_bytes=1000, **{limit: 5000}) as http:
        async with http.post(path, data=b"x" * 5000) as answer:
            assert answer.status == 200
        async with http.post(path, data=b"x" * 5001) as answer:
            assert answer.status == 413
        for other in (f"{path}/", f"{path}%2f", f"{path}/../x", f"/api/v1/x{path}", path.upper()):
            async with http.post(URL(other, encoded=True), data=b"x" * 1001) as answer:
                assert answer.status in {404, 413}, other
        async with http.put(path, data=b"x" * 1001) as answer:
            assert answer.status == 413
    assert [len(one.body) for one in upstream.seen] == [5000]


async def test_body__in_chunks_is_cut_at_the_limit(front: Front, upstream: Upstream) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        while True:
            yield b"x" * 100
            await asyncio.sleep(0)

    async with front(max_body_bytes=1000) as http:
        answer = await http.post("/api/v1/x", data=endless())
        async with answer:
            assert (answer.status, (await answer.json())["code"]) == (413, "too_large")
    assert upstream.seen == []


async def test_body__in_chunks_passes(http: aiohttp.ClientSession, upstream: Upstream) -> None:
    async def parts() -> AsyncGenerator[bytes]:
        for part in (b"one ", b"two ", b"x" * 200_000):
            yield part

    async with http.post("/api/v1/x", data=parts()) as answer:
        assert answer.status == 200
    assert upstream.seen[0].body == b"one two " + b"x" * 200_000


async def test_body__that_falls_silent_is_refused(front: Front, upstream: Upstream) -> None:
    async with front(idle_seconds=0.2) as http:
        reader, writer = await half_sent(http)
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert b"silent" in answer
    assert upstream.seen == []


async def test_body__half_sent_by_who_left_is_never_taken_for_whole(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    _, writer = await half_sent(http)
    await asyncio.wait_for(upstream.arrived.wait(), 30)
    writer.close()
    await asyncio.wait_for(upstream.left.wait(), 30)
    assert upstream.seen == []


async def half_sent(
    http: aiohttp.ClientSession,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    base = http._base_url
    assert base is not None
    reader, writer = await asyncio.open_connection(base.host, base.port)
    head = (
        f"POST /api/v1/x HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n"
        "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    )
    writer.write(head.encode())
    return reader, writer


async def test_websocket__is_not_found(http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect("/api/v1/tty")
    assert caught.value.status == 404


async def test_ready__names_the_control_plane(
    http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    async with http.get("/readyz") as answer:
        assert answer.status == 200
    upstream.ready = False
    async with http.get("/readyz") as answer:
        assert answer.status == 503
        missing = (await answer.json())["details"]["missing"]
    assert missing[0]["what"] == "control_plane"


async def test_metrics__are_the_gateways_own(http: aiohttp.ClientSession) -> None:
    async with http.get("/metrics") as answer:
        assert "berth_http_request_seconds" in await answer.text()


async def test_cors__preflight_needs_no_key(front: Front, upstream: Upstream) -> None:
    asked = {"Origin": "https://ok.example", "Access-Control-Request-Method": "POST"}
    async with front(cors_origins=["https://ok.example"]) as http:
        async with http.options("/api/v1/x", headers=asked) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "https://ok.example"
        wrong = {"Origin": "https://ok.example", "Authorization": "Bearer wrong-key-here"}
        async with http.get("/api/v1/x", headers=wrong) as answer:
            assert answer.status == 401  # readable for the page, too
            assert answer.headers["Access-Control-Allow-Origin"] == "https://ok.example"
        async with http.get("/api/v1/x", headers={"Origin": "https://evil.example"}) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_portal__serves_files_and_falls_back_to_its_page(
    front: Front, tmp_path: Path
) -> None:
    folder = tmp_path / "portal"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<p>page</p>")
    (folder / "assets" / "a.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    async with front(portal_dir=folder) as http:
        async with http.get("/sessions/1") as page:
            assert await page.text() == "<p>page</p>"
            assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
            tag = page.headers["ETag"]
        async with http.get("/", headers={"If-None-Match": tag}) as page:
            assert page.status == 304
        async with http.get("/assets/a.js") as script:
            assert "immutable" in script.headers["Cache-Control"]
        url = URL(str(http._base_url).rstrip("/") + "/assets/..%2f..%2fsecret.txt", encoded=True)
        for missing in ("/assets/b.js", url):
            async with http.get(missing) as answer:
                assert answer.status == 404
