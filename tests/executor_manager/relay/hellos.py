"""TLS client hellos: a real library's, and taken apart and put together again as attacks do."""

import ssl

SERVER_NAME = 0
ENCRYPTED = 0xFE0D


def client_hello(name: str | None) -> bytes:
    """One record, as OpenSSL sends it; None: without the extension."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sent = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()
    raise AssertionError("a handshake needs two")


def message(hello: bytes) -> bytes:
    """What is in its one record."""
    return hello[5:]


def record(content: bytes) -> bytes:
    return b"\x16\x03\x01" + len(content).to_bytes(2) + content


def in_records(hello: bytes, size: int) -> bytes:
    """The same message in as many records as it takes."""
    content = message(hello)
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(record(part) for part in parts)


def with_extension(hello: bytes, kind: int, data: bytes) -> bytes:
    """One more at its end."""
    at = _extensions_at(message(hello))
    body = message(hello)
    extensions = body[at + 2 :] + kind.to_bytes(2) + len(data).to_bytes(2) + data
    body = body[4:at] + len(extensions).to_bytes(2) + extensions
    return record(b"\x01" + len(body).to_bytes(3) + body)


def name_list(*names: str) -> bytes:
    entries = b"".join(b"\x00" + len(name).to_bytes(2) + name.encode() for name in names)
    return len(entries).to_bytes(2) + entries


def _extensions_at(body: bytes) -> int:
    at = 4 + 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2])
    return at + 1 + body[at]
