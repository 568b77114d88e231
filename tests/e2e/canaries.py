"""The secrets of a deployment as they could turn up inside: plain and in disguises.

They are the real ones, generated for this stack: what `init` made, the API key, the worker's token.
"""

import base64
import re
import urllib.parse
from uuid import UUID

from docker.models.containers import Container

from chassis.auth import hash_token
from tests.e2e.engine import Engine
from tests.e2e.probe import FLIP
from tests.e2e.stack import Stack
from tests.fixtures.deadlines import eventually

PUBLIC = {"gateway.pub.pem", "object-store-access-key"}
"""The access key's name is part of every presigned URL; it opens nothing without its secret."""
TOKEN = re.compile(r"bwt[\w-]{43}")
SEARCH = """
import re, sys
for line in open("/proc/%d/maps" % int(sys.argv[1])):
    span, modes = line.split()[:2]
    first, last = (int(end, 16) for end in span.split("-"))
    if modes.startswith("rw"):
        with open("/proc/%d/mem" % int(sys.argv[1]), "rb", 0) as memory:
            try:
                memory.seek(first)
                found = memory.read(last - first)
            except OSError:
                continue
        for token in set(re.findall(rb"bwt[\\w-]{43}", found)):
            print(token.decode())
"""


async def secrets_of(stack: Stack, session: UUID) -> dict[str, str]:
    """Of the deployment, and the token of the session's worker."""
    token = await worker_token(stack, session)
    return {**await deployment_secrets(stack), "worker-token": token}


async def deployment_secrets(stack: Stack) -> dict[str, str]:
    """Names and values, each long enough to be told from chance."""
    found = {"api-key": stack.key}
    for name, value in {**await stack.secrets(), **stack.given}.items():
        if name in PUBLIC:
            continue
        found[name] = _essence(value)
    assert all(len(value) >= 16 for value in found.values()), {n: len(v) for n, v in found.items()}
    return found


def _essence(value: str) -> str:
    """Of a PEM its longest line, of a URL its password."""
    if "-----" in value:
        return max((line for line in value.splitlines() if "-----" not in line), key=len)
    return urllib.parse.urlsplit(value).password or value


async def worker_token(stack: Stack, session: UUID) -> str:
    """From the relay's memory, where it must be: that the search finds it there is its control."""
    known = (await stack.worker(session))["token_hash"]
    relay = await stack.one("relay")

    async def found() -> str:
        for pid in await _pids(stack.engine, relay):
            told = await stack.engine.run(relay, "python", "-c", SEARCH, pid, uid=0)
            for token in TOKEN.findall(told.output):
                if hash_token(token) == known:
                    return token
        return ""

    return await eventually(found, "the relay's memory does not hold the worker's token")


async def _pids(engine: Engine, container: Container) -> list[str]:
    listed = await engine.run(container, "sh", "-c", "cd /proc && echo [0-9]*", uid=0)
    return listed.output.split()


def disguises(name: str, secret: str) -> dict[str, bytes]:
    plain = secret.encode()
    found = {
        name: plain,
        f"{name}, reversed": plain[::-1],
        f"{name}, hexadecimal": plain.hex().encode(),
        f"{name}, url-encoded": urllib.parse.quote(secret, safe="").encode(),
        f"{name}, escaped": "".join(f"%{byte:02X}" for byte in plain).encode(),
        **{f"{name}, base64 at {shift}": _base64(plain, shift) for shift in range(3)},
    }
    return {described: content for described, content in found.items() if len(content) >= 12}


def _base64(plain: bytes, shift: int) -> bytes:
    """What stands in the base64 of any text that holds it, `shift` bytes behind a full group."""
    encoded = base64.b64encode(b"\0" * shift + plain)
    return encoded[4 if shift else 0 : -4].rstrip(b"=")


def needles(secrets: dict[str, str]) -> dict[str, str]:
    """As a probe is given them: each byte flipped, so that it finds nothing in itself."""
    return {
        described: bytes(byte ^ FLIP for byte in content).hex()
        for name, secret in secrets.items()
        for described, content in disguises(name, secret).items()
    }


def held_by(secrets: dict[str, str], content: bytes) -> list[str]:
    return [
        described
        for name, secret in secrets.items()
        for described, needle in disguises(name, secret).items()
        if needle in content
    ]
