"""The digests that others check; our own of contents is BLAKE3.

OpenSSL's library, which has them, is loaded with the first one: it takes longer than most of what a
worker needs to be ready (docs/adr/0011-a-light-first-process.md).
"""

import base64


def sha256_of(content: bytes | bytearray | memoryview) -> str:
    """In hex."""
    import hashlib  # noqa: PLC0415  # see above

    return hashlib.sha256(content).hexdigest()


def md5_of(content: bytes | bytearray | memoryview) -> str:
    """In base64: what the object store checks on arrival."""
    import hashlib  # noqa: PLC0415  # see above

    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
