from collections.abc import Callable

import msgspec
import pytest
from joserfc import jwk, jwt
from joserfc.jwk import KeyFlexible

from chassis.auth import (
    ServiceKeys,
    generate_service_key,
    generate_signing_key,
    hash_token,
    sign_identity,
    verify_identity,
)
from chassis.clock import wall_time
from chassis.errors import BerthError
from chassis.ids import new_id
from contracts.identity import IdentityClaims
from contracts.wire import KeyId, ProjectId, UserId

CLAIMS = IdentityClaims(
    user_id=UserId(new_id()),
    key_id=KeyId(new_id()),
    kind="service",
    name="CI",
    project_id=ProjectId(new_id()),
)
PRIVATE, PUBLIC = generate_signing_key()


def test_service_key__tells_whose_it_is() -> None:
    gateway, manager = generate_service_key("gateway"), generate_service_key("executor_manager")
    keys = ServiceKeys({"gateway": gateway, "executor_manager": f"sha256:{hash_token(manager)}"})
    assert gateway.startswith("bsk_gateway_")
    assert keys.verify(f"Bearer {gateway}") == "gateway"
    assert keys.verify(f"bearer {manager}") == "executor_manager"


@pytest.mark.parametrize("given", [None, "", "Bearer ", "Bearer bsk_gateway_x", "Basic {key}"])
def test_service_key__that_is_wrong_is_refused(given: str | None) -> None:
    key = generate_service_key("gateway")
    with pytest.raises(BerthError, match="unauthenticated"):
        ServiceKeys({"gateway": key}).verify(given and given.format(key=key))


def test_identity__comes_back() -> None:
    token = sign_identity(PRIVATE, CLAIMS, "control_plane", 60)
    assert verify_identity(PUBLIC, token, "control_plane") == CLAIMS


def forged(header: dict[str, str], key: KeyFlexible, **changes: object) -> str:
    """Right in all but what is changed."""
    now = int(wall_time().timestamp())
    told = {"aud": "control_plane", "iat": now, "exp": now + 60, "berth": BUILTINS} | changes
    return jwt.encode(header, told, key, algorithms=[header["alg"]])


def own(*, begins: int = 0, **changes: object) -> str:
    """`begins`: seconds from now."""
    begun = int(wall_time().timestamp()) + begins
    times = {"iat": begun, "exp": begun + 60}
    return forged({"alg": "Ed25519"}, jwk.OKPKey.import_key(PRIVATE), **times, **changes)


BUILTINS = msgspec.to_builtins(CLAIMS)

# made when they are used: they live for a minute
WRONG: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "garbage": lambda: "a.b.c",
    "audience": lambda: sign_identity(PRIVATE, CLAIMS, "executor_manager"),
    "signer": lambda: sign_identity(generate_signing_key()[0], CLAIMS, "control_plane"),
    "tampered": lambda: sign_identity(PRIVATE, CLAIMS, "control_plane")[:-4] + "AAAA",
    "expired": lambda: own(begins=-120),
    "future": lambda: own(begins=600),
    "claims": lambda: own(berth={"user_id": "x"}),
    "algorithm": lambda: forged({"alg": "HS256"}, jwk.OctKey.import_key(b"x" * 32)),
}


def test_identity__that_is_right_in_all_comes_back_too() -> None:
    assert verify_identity(PUBLIC, own(), "control_plane") == CLAIMS


@pytest.mark.parametrize("wrong", WRONG)
def test_identity__that_is_wrong_is_refused(wrong: str) -> None:
    with pytest.raises(BerthError, match="unauthenticated"):
        verify_identity(PUBLIC, WRONG[wrong](), "control_plane")


def test_identity__lives_a_minute_at_most() -> None:
    with pytest.raises(ValueError, match="1 to 60 seconds"):
        sign_identity(PRIVATE, CLAIMS, "control_plane", 61)
