"""The first message of a tunnel: only one that names the host goes on, in whatever pieces."""

import asyncio
import random

import pytest

from executor_manager.relay.tunnel.hello import HELLO_BYTES, read_hello
from executor_manager.relay.tunnel.refusals import TunnelRefused
from tests.executor_manager.relay.hellos import (
    ENCRYPTED,
    SERVER_NAME,
    client_hello,
    in_records,
    message,
    name_list,
    record,
    with_extension,
)

HOST = "files.example.org"
GOOD = client_hello(HOST)
BARE = client_hello(None)


def named(*names: str) -> bytes:
    return with_extension(BARE, SERVER_NAME, name_list(*names))


async def read(sent: bytes, host: str = HOST) -> bytes | str:
    """What goes on, or the rule that refused it."""
    reader = asyncio.StreamReader()
    reader.feed_data(sent)
    reader.feed_eof()
    try:
        return await read_hello(reader, host)
    except TunnelRefused as refused:
        return refused.rule


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 64, 100_000])
async def test_a_hello_for_the_host__goes_on_byte_for_byte_in_its_records(size: int) -> None:
    sent = in_records(GOOD, size)
    assert await read(sent + b"\x17\x03\x03\x00\x01x") == sent


async def test_a_hello__may_hold_what_browsers_fill_in_beside_the_true_name() -> None:
    grease = with_extension(GOOD, ENCRYPTED, b"\x00" + b"g" * 200)
    assert await read(grease) == grease


REFUSED = [
    (BARE, "no_server_name"),
    (client_hello("other.example.org"), "server_name"),
    (client_hello("example.org"), "server_name"),
    (named(HOST.upper()), "server_name"),
    (named(f"{HOST}."), "server_name"),
    (named("127.0.0.1"), "server_name"),
    (named(HOST, "other.example.org"), "server_name"),
    (named(""), "server_name"),
    (named(), "server_name"),
    (named(f"{HOST}\x00.other.org"), "server_name"),
    (with_extension(BARE, ENCRYPTED, b"x"), "encrypted_client_hello"),
    (
        with_extension(client_hello("outer.example.net"), ENCRYPTED, b"\x00" + b"x" * 200),
        "encrypted_client_hello",
    ),
    (with_extension(GOOD, SERVER_NAME, name_list("other.example.org")), "not_a_client_hello"),
    (with_extension(BARE, SERVER_NAME, name_list(HOST) + b"x"), "not_a_client_hello"),
    (with_extension(BARE, SERVER_NAME, b"\x00\x04\x01\x00\x01x"), "not_a_client_hello"),
    (record(message(GOOD) + message(GOOD)), "not_a_client_hello"),
    (record(b"\x02" + message(GOOD)[1:]), "not_a_client_hello"),
    (record(message(GOOD)[:-1]) + record(b""), "not_a_client_hello"),
    (b"\x16\x03\x01\x40\x01" + b"\x01" * 20_000, "not_a_client_hello"),
    (record(b"\x01" + HELLO_BYTES.to_bytes(3)), "hello_too_large"),
    (in_records(record(b"\x01\x00\x3f\xff" + b"x" * 16_000), 1), "hello_too_large"),
    (b"GET / HTTP/1.1\r\nHost: files.example.org\r\n\r\n", "not_tls"),
    (b"SSH-2.0-OpenSSH_9.6\r\n", "not_tls"),
    (b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", "not_tls"),
    (b"\x17" + GOOD[1:], "not_tls"),
    (b"\x16\xfe\xfd" + GOOD[3:], "not_tls"),
    (b"\x14\x03\x01\x00\x01\x01" + GOOD, "not_tls"),
]


@pytest.mark.parametrize(
    ("sent", "rule"), REFUSED, ids=[f"{n}-{case[1]}" for n, case in enumerate(REFUSED)]
)
async def test_everything_else__is_refused_by_its_rule(sent: bytes, rule: str) -> None:
    assert await read(sent) == rule


async def test_what_ends_before__is_no_hello() -> None:
    for end in (0, 1, 4, 5, 6, 9, 100, len(GOOD) - 1):
        with pytest.raises(asyncio.IncompleteReadError):
            await read(GOOD[:end])


async def test_whatever_is_changed__it_passes_only_with_the_name() -> None:
    dice = random.Random(5)
    for _ in range(2000):
        sent = bytearray(GOOD)
        for _ in range(dice.randint(1, 4)):
            sent[dice.randrange(5, len(sent))] = dice.randrange(256)
        try:
            found = await read(bytes(sent))
        except asyncio.IncompleteReadError:
            continue
        if isinstance(found, bytes):
            assert HOST.encode() in found
