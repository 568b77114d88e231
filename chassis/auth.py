"""How callers prove who they are: service keys, and the gateway's signed identity.

Keys are compared by hash, in constant time. The identity is a JWT, signed with Ed25519 by the
gateway alone, for one audience and at most `MAX_TTL` seconds.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

import msgspec
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from chassis.clock import wall_time
from chassis.errors import BerthError
from contracts.errors import Code
from contracts.identity import IdentityClaims

IDENTITY_HEADER = "X-Berth-Identity"
MAX_TTL = 60
LEEWAY = 5
"""Seconds by which two hosts' clocks may differ."""

_ALGORITHM = "Ed25519"
"""RFC 9864's name; `EdDSA` is deprecated and could mean Ed448 as well."""


class ServiceKeys:
    """Knows whose a `bsk_…` key is. A value may be `sha256:<hex>` instead of the key."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._hashes = {service: _hash_of(key) for service, key in keys.items()}

    def verify(self, authorization: str | None) -> str:
        """Takes the `Authorization` header, gives the service; raises `unauthenticated`."""
        scheme, _, token = (authorization or "").partition(" ")
        presented = hash_token(token.strip())
        found = ""
        for service, known in self._hashes.items():
            # every key is compared, so that time tells nothing about which one came close
            if hmac.compare_digest(presented, known):
                found = service
        if scheme.lower() != "bearer" or not found:
            raise BerthError(Code.UNAUTHENTICATED, "a service key is needed")
        return found


def generate_service_key(service: str) -> str:
    return new_token(f"bsk_{service}_")


def new_token(prefix: str) -> str:
    """`prefix` and 256 random bits in URL-safe base64."""
    return prefix + secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """SHA-256 in hex: tokens are random, so that a slow hash would add nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


def generate_signing_key() -> tuple[str, str]:
    """An Ed25519 pair as PEM: (private, public)."""
    key = jwk.OKPKey.generate_key("Ed25519")
    return key.as_pem(private=True).decode(), key.as_pem(private=False).decode()


def sign_identity(private: str, claims: IdentityClaims, audience: str, ttl: int = MAX_TTL) -> str:
    """`private` is PEM, `ttl` in seconds."""
    if not 0 < ttl <= MAX_TTL:
        raise ValueError(f"an identity lives for 1 to {MAX_TTL} seconds, not {ttl}")
    now = int(wall_time().timestamp())
    payload = {
        "iss": "gateway",
        "sub": str(claims.user_id),
        "aud": audience,
        "iat": now,
        "exp": now + ttl,
        "berth": msgspec.to_builtins(claims),
    }
    return jwt.encode({"alg": _ALGORITHM}, payload, _key(private), algorithms=[_ALGORITHM])


def verify_identity(public: str, token: str, audience: str) -> IdentityClaims:
    """`public` is PEM. Raises `unauthenticated` for a wrong signature, audience or time."""
    try:
        decoded = jwt.decode(token, _key(public), algorithms=[_ALGORITHM])
        now = int(wall_time().timestamp())
        jwt.JWTClaimsRegistry(
            now=now,
            leeway=LEEWAY,
            aud={"essential": True, "value": audience},
            iat={"essential": True},
            exp={"essential": True},  # the gateway sets it: at most MAX_TTL after iat
        ).validate(decoded.claims)
        return msgspec.convert(decoded.claims["berth"], IdentityClaims)
    except (JoseError, ValueError, KeyError, msgspec.ValidationError) as error:
        raise BerthError(Code.UNAUTHENTICATED, "the caller's identity is not valid") from error


def _hash_of(key: str) -> str:
    return key.removeprefix("sha256:") if key.startswith("sha256:") else hash_token(key)


def _key(pem: str) -> jwk.OKPKey:
    return jwk.OKPKey.import_key(pem)
