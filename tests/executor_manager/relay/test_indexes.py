"""Package indexes through the relay: pages led back, files streamed, and nothing else."""

import asyncio
import gzip
import hashlib
import io
import json
import sys
import zipfile
import zlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from contracts.relay import Credential, NamedUpstream
from tests.executor_manager.relay.index_server import IndexServer
from tests.executor_manager.relay.tunnelling import (
    Agent,
    InProcess,
    loopback,
    relay_in_process,
)

HERE = "127.0.0.1:8119"
SIMPLE = "application/vnd.pypi.simple.v1+json"
KEY = "canary-of-the-index"


@pytest.fixture
async def index() -> AsyncGenerator[IndexServer]:
    async with IndexServer() as server:
        yield server


@pytest.fixture
async def files() -> AsyncGenerator[IndexServer]:
    async with IndexServer() as server:
        yield server


@pytest.fixture
async def relay(short_dir: Path, request: pytest.FixtureRequest) -> AsyncGenerator[InProcess]:
    """Its parameter: how long a page is waited for."""
    (short_dir / "credentials").mkdir()
    (short_dir / "credentials" / "key").write_text(KEY)
    async with relay_in_process(
        short_dir,
        relay_credentials_dir=short_dir / "credentials",
        relay_index_bytes=200_000,
        relay_index_room_bytes=600_000,
        relay_index_seconds=getattr(request, "param", 60.0),
    ) as relay:
        yield relay


def pypi(index: IndexServer, *files: IndexServer, key: bool = False) -> NamedUpstream:
    return NamedUpstream(
        name="pypi",
        url=index.url,
        methods=["GET", "HEAD"],
        paths=["/simple/"],
        index="pypi",
        file_hosts=[server.url for server in files],
        credential=Credential(name="key") if key else None,
    )


@pytest.fixture
async def agent(relay: InProcess, index: IndexServer, files: IndexServer) -> Agent:
    npm = NamedUpstream(
        name="npm", url=index.url, methods=["GET"], paths=["/"], index="npm", file_hosts=[]
    )
    return await relay.bind_upstreams(pypi(index, files), npm)


async def ask(agent: Agent, target: str, *, method: str = "GET", headers: str = "") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: {HERE}\r\nConnection: close\r\n{headers}\r\n"
    return await agent.send(head.encode())


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


async def test_a_page_and_its_file__are_read_through_the_relay(
    agent: Agent, index: IndexServer, files: IndexServer
) -> None:
    page = f'<a href="{files.url}/p/b-1.whl#sha256=ab" data-yanked="">b</a>'
    index.add("/simple/b/", page.encode(), "text/html; charset=UTF-8", ETag='"1"')
    files.add("/p/b-1.whl", b"w" * 3_000_000, "application/octet-stream")
    answer = await ask(
        agent,
        "/pypi/simple/b/",
        headers="Accept: text/html\r\nCookie: a=b\r\nX-Data: secret\r\nAuthorization: x\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'Etag: "1"' in answer
    assert body_of(answer) == b'<a href="/pypi/-/files/0/p/b-1.whl#sha256=ab" data-yanked="">b</a>'
    sent = set(index.headers[0]) - {"host", "connection"}
    assert sent == {"accept", "accept-encoding"}
    answer = await ask(agent, "/pypi/-/files/0/p/b-1.whl")
    assert body_of(answer) == b"w" * 3_000_000
    assert files.asked == [("GET", "/p/b-1.whl")]


async def test_a_packed_page__is_unpacked_and_led_back(
    agent: Agent, index: IndexServer, files: IndexServer
) -> None:
    page = json.dumps({"files": [{"url": f"{files.url}/b.whl"}]}).encode()
    index.add("/simple/b/", gzip.compress(page), SIMPLE, Content_Encoding="gzip")
    answer = await ask(agent, "/pypi/simple/b/", headers="Accept-Encoding: gzip, br\r\n")
    assert b"Content-Encoding" not in answer
    assert json.loads(body_of(answer)) == {"files": [{"url": "/pypi/-/files/0/b.whl"}]}
    assert index.headers[0]["accept-encoding"] == "gzip"


async def test_an_npm_document__leads_back_to_where_the_agent_asked(
    agent: Agent, index: IndexServer
) -> None:
    document = {"versions": {"1": {"dist": {"tarball": f"{index.url}/@s/b/-/b-1.tgz"}}}}
    index.add("/@s%2fb", json.dumps(document).encode(), "application/json")
    index.add("/@s/b/-/b-1.tgz", b"tarball", "application/octet-stream")
    answer = json.loads(body_of(await ask(agent, "/npm/@s%2fb")))
    link = answer["versions"]["1"]["dist"]["tarball"]
    assert link == f"http://{HERE}/npm/@s/b/-/b-1.tgz"
    assert body_of(await ask(agent, link.removeprefix(f"http://{HERE}"))) == b"tarball"


async def test_a_file__is_streamed_with_its_range(
    agent: Agent, index: IndexServer, files: IndexServer
) -> None:
    files.add("/b.whl", b"first second", "application/octet-stream")
    files.gate = asyncio.Event()
    reader, writer = await agent.open()
    head = f"GET /pypi/-/files/0/b.whl HTTP/1.1\r\nHost: {HERE}\r\nRange: bytes=0-\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(30):
        await reader.readuntil(b"first ")
        files.gate.set()
        await reader.readuntil(b"second")
    assert files.headers[0]["range"] == "bytes=0-"
    writer.close()


async def test_a_head__says_what_a_get_would_without_its_body(
    agent: Agent, index: IndexServer, files: IndexServer
) -> None:
    index.add("/simple/b/", b"<a>", "text/html")
    files.add("/b.whl", b"12345", "application/octet-stream")
    assert (await ask(agent, "/pypi/simple/b/", method="HEAD")).startswith(b"HTTP/1.1 200")
    answer = await ask(agent, "/pypi/-/files/0/b.whl", method="HEAD")
    assert b"Content-Length: 5" in answer
    assert [method for method, _ in index.asked + files.asked] == ["HEAD", "HEAD"]


async def test_what_is_not_there__is_told_as_it_is(agent: Agent, index: IndexServer) -> None:
    answer = await ask(agent, "/pypi/simple/nothing/")
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"nothing here" in answer
    index.pages["/simple/same/"] = (304, {"ETag": '"1"'}, b"")
    answer = await ask(agent, "/pypi/simple/same/", headers='If-None-Match: "1"\r\n')
    assert answer.startswith(b"HTTP/1.1 304")
    assert index.headers[-1]["if-none-match"] == '"1"'


async def test_other_methods_bodies_and_paths__reach_nobody(
    agent: Agent, index: IndexServer
) -> None:
    for method, target, headers, rule in [
        ("POST", "/pypi/legacy/", "Content-Length: 0\r\n", "method"),
        ("PUT", "/npm/left-pad", "Content-Length: 0\r\n", "method"),
        ("GET", "/pypi/pypi/b/json", "", "path"),
        ("GET", "/pypi/-/files/9/b.whl", "", "path"),
        ("GET", "/npm/-/whoami", "", "path"),
        ("GET", "/pypi/simple/b/?secret", "", "query"),
    ]:
        answer = await ask(agent, target, method=method, headers=headers)
        assert f'"rule":"{rule}"'.encode() in answer, (target, answer)
    body = await agent.send(
        f"GET /pypi/simple/b/ HTTP/1.1\r\nHost: {HERE}\r\nContent-Length: 6\r\n\r\nsecret".encode()
    )
    assert b'"rule":"body"' in body
    assert index.asked == []


async def test_redirects__are_followed_within_declared_origins(
    agent: Agent, index: IndexServer, files: IndexServer
) -> None:
    index.move("/simple/Some", "/simple/some/", 301)
    index.add("/simple/some/", b'<a href="some-1.zip">', "text/html")
    answer = await ask(agent, "/pypi/simple/Some")
    assert body_of(answer) == b'<a href="/pypi/simple/some/some-1.zip">'
    index.move("/p/b.whl", f"{files.url}/elsewhere/b?sig=1", 307)
    files.add("/elsewhere/b?sig=1", b"file", "application/octet-stream")
    assert body_of(await ask(agent, "/pypi/p/b.whl")) == b"file"


async def test_redirects_to_elsewhere__are_denied_and_not_told(
    agent: Agent, index: IndexServer, files: IndexServer
) -> None:
    async with IndexServer() as evil:
        evil.add("/x.whl", b"evil", "text/plain")
        places = [
            f"{evil.url}/x.whl",
            f"//127.0.0.1:{evil.port}/x.whl",
            f"http://user@127.0.0.1:{files.port}/x.whl",
            f"https://127.0.0.1:{files.port}/x.whl",
            "http://169.254.169.254/latest/meta-data",
            "/account/login",
            "/pypi/b/json",
            "file:///etc/passwd",
            "",
        ]
        for number, place in enumerate(places):
            index.move(f"/p/{number}.whl", place)
            answer = await ask(agent, f"/pypi/p/{number}.whl")
            assert b'"rule":"redirect"' in answer, (place, answer)
            assert b"ocation" not in answer
        index.move("/simple/b/", f"{files.url}/simple/b/")
        assert b'"rule":"redirect"' in await ask(agent, "/pypi/simple/b/")
        assert (evil.asked, files.asked) == ([], [])
    index.move("/p/circle.whl", "/p/circle.whl")
    assert b"redirects in circles" in await ask(agent, "/pypi/p/circle.whl")


async def test_a_credential__is_the_indexs_alone(
    relay: InProcess, index: IndexServer, files: IndexServer
) -> None:
    agent = await relay.bind_upstreams(pypi(index, files, key=True))
    index.add("/simple/b/", b"<a>", "text/html", X_Echo=f"Bearer {KEY}")
    index.move("/p/b.whl", f"{files.url}/b.whl")
    files.add("/b.whl", b"file", "text/plain")
    answers = b""
    for target in ("/pypi/simple/b/", "/pypi/p/b.whl", "/pypi/-/files/0/b.whl"):
        answers += await ask(agent, target)
    assert [sent["authorization"] for sent in index.headers] == [f"Bearer {KEY}"] * 2
    assert [sent.get("authorization") for sent in files.headers] == [None] * 2
    assert KEY.encode() not in answers


def wheel(name: str) -> bytes:
    info = f"{name}-1.0.dist-info"
    held = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*held, f"{info}/RECORD"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in {**held, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return packed.getvalue()


@pytest.mark.parametrize("kind", ["html", "json"])
async def test_pip__installs_through_the_loopback_pipe(
    agent: Agent, index: IndexServer, files: IndexServer, tmp_path: Path, kind: str
) -> None:
    content = wheel("demo")
    digest = hashlib.sha256(content).hexdigest()
    name = "demo-1.0-py3-none-any.whl"
    link = f"{files.url}/p/{name}"
    files.add(f"/p/{name}", content, "application/octet-stream")
    if kind == "html":
        index.add(
            "/simple/demo/", f'<a href="{link}#sha256={digest}">{name}</a>'.encode(), "text/html"
        )
    else:
        file = {"filename": name, "url": link, "hashes": {"sha256": digest}}
        page = {"meta": {"api-version": "1.0"}, "name": "demo", "files": [file]}
        index.add("/simple/demo/", json.dumps(page).encode(), SIMPLE)
    async with loopback(agent.path) as port:
        pip = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"),
            *("install", "--no-cache-dir", "--target", str(tmp_path)),
            *("--index-url", f"http://127.0.0.1:{port}/pypi/simple/", "demo"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            said, _ = await pip.communicate()
    assert pip.returncode == 0, said.decode()
    assert (tmp_path / "demo.py").exists()
    assert ("GET", f"/p/{name}") in files.asked


BAD_PAGES = [
    ("too large", b"<a>" * 100_000, "text/html", "identity"),
    ("a bomb", gzip.compress(b"\0" * 20_000_000), "text/html", "gzip"),
    ("not packed so", b"<a>", "text/html", "gzip"),
    ("packed and cut", gzip.compress(b"<a>" * 5000)[:-9], "text/html", "gzip"),
    ("packed otherwise", zlib.compress(b"<a>"), "text/html", "br"),
    ("not JSON", b"<a>", SIMPLE, "identity"),
    ("nested", b'{"files":' + b"[" * 100_000, SIMPLE, "identity"),
]


@pytest.mark.parametrize(
    ("page", "kind", "encoding"), [bad[1:] for bad in BAD_PAGES], ids=[bad[0] for bad in BAD_PAGES]
)
async def test_a_page_that_cannot_be_led_back__is_not_passed_on(
    agent: Agent, index: IndexServer, page: bytes, kind: str, encoding: str
) -> None:
    index.add("/simple/b/", page, kind, Content_Encoding=encoding)
    answer = await ask(agent, "/pypi/simple/b/", headers="Accept-Encoding: gzip\r\n")
    assert answer.startswith(b"HTTP/1.1 503"), answer[:200]
    assert len(answer) < 1000


@pytest.mark.parametrize("relay", [1.0], indirect=True)
async def test_a_page_that_does_not_end__is_not_waited_for(
    agent: Agent, index: IndexServer
) -> None:
    index.add("/simple/b/", b"<a><a>", "text/html")
    index.gate = asyncio.Event()
    assert (await ask(agent, "/pypi/simple/b/")).startswith(b"HTTP/1.1 504")
    index.gate.set()


async def test_room_for_pages__is_bounded_and_one_session_leaves_room_for_another(
    relay: InProcess, index: IndexServer, files: IndexServer
) -> None:
    for server in (index, files):
        server.add("/simple/b/", b"<a>" + b"x" * 180_000, "text/html")
    bad, good = [await relay.bind_upstreams(pypi(server)) for server in (index, files)]
    index.gate = asyncio.Event()
    held = [asyncio.create_task(ask(bad, "/pypi/simple/b/")) for _ in range(8)]
    async with asyncio.timeout(30):
        done, waiting = await asyncio.wait(held, return_when=asyncio.FIRST_COMPLETED)
    assert all(task.result().startswith(b"HTTP/1.1 503") for task in done)
    assert waiting
    assert (await ask(good, "/pypi/simple/b/")).startswith(b"HTTP/1.1 200")
    index.gate.set()
    await asyncio.wait(held)
    assert (await ask(bad, "/pypi/simple/b/")).startswith(b"HTTP/1.1 200")
