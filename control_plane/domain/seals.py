"""Secrets at rest: AES-256-GCM under the deployment's `secret_key`.

The table, and project and name of the row, are sealed in: a ciphertext that was moved to another
row does not open.
"""

import base64
import binascii
import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SECRET_BYTES = 32
NONCE_BYTES = 12

_VERSION = b"\x01"


class SealBroken(Exception):
    """Sealed under another secret key, or for another row."""


class Seals:
    """Of one table's rows."""

    def __init__(self, secret: bytes, *, table: str) -> None:
        self._cipher = AESGCM(secret)
        self._table = table.encode()

    def seal(self, key: str, *, project_id: UUID, name: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        about = self._about(project_id, name)
        return _VERSION + nonce + self._cipher.encrypt(nonce, key.encode(), about)

    def open(self, sealed: bytes, *, project_id: UUID, name: str) -> str:
        """Raises `SealBroken`."""
        version, nonce, text = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if version != _VERSION or len(nonce) != NONCE_BYTES:
            raise SealBroken
        try:
            return self._cipher.decrypt(nonce, text, self._about(project_id, name)).decode()
        except InvalidTag as error:
            raise SealBroken from error

    def _about(self, project_id: UUID, name: str) -> bytes:
        return self._table + b"\x00" + project_id.bytes + name.encode()


def secret_of(text: str) -> bytes:
    """Raises ValueError, without the value."""
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise ValueError(
            f"BERTH_SECRET_KEY should be {SECRET_BYTES} random bytes in base64, as"
            f" `openssl rand -base64 {SECRET_BYTES}` prints them"
        )
    return secret
