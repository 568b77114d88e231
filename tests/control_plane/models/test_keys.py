"""A provider's key is where it has to be, and nowhere else."""

import sys
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chassis.logs import configure_logging
from control_plane.app import build_app
from control_plane.domain.git_keys import GitKeys
from control_plane.domain.model_keys import ModelKeys, SealBroken, secret_of
from tests.control_plane.models.caller import TOKEN, Worker
from tests.control_plane.models.conftest import KEY, NOBODY, SECRET_KEY
from tests.control_plane.models.spoilt import SpoiltProvider
from tests.fixtures.scripted_model import ScriptedModel, request_of, script
from tests.fixtures.serving import serving


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Any:
    """All that was logged so far, at the most talkative level."""
    configure_logging("test", "debug", stream=sys.stderr)
    told: list[str] = []

    def read() -> str:
        captured = capsys.readouterr()
        told.append(captured.out + captured.err)
        return "".join(told)

    yield read
    configure_logging("test")


async def everything_kept(connection: asyncpg.Connection) -> str:
    """Each row of each table, as text."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [
        row[0]
        for table in tables
        for row in await connection.fetch(f'SELECT t::text FROM "{table[0]}" t')  # noqa: S608 # the catalogue's
    ]
    return "\n".join(rows)


async def test_key__is_kept_sealed_and_told_to_nobody(
    worker: Worker, spoilt: SpoiltProvider, logged: Any
) -> None:
    shown = await worker.upstream(url=f"{spoilt.url}/echoes", key=KEY, auth="x-api-key")
    assert shown["has_key"]
    told = [str(shown), (await worker.owner.http.get(worker.upstreams)).text]
    for body in (script({"text": "Yes."}), script({"status": 401})):
        answer = await worker.ask("/v1/messages", body)
        told += [answer.text, str(answer.headers)]
    told.append((await worker.owner.http.get("/api/v1/audit")).text)
    told.append(str(await worker.calls()))
    told.append(await everything_kept(worker.plane.connection))
    told.append(logged())
    assert spoilt.seen[0].headers["x-api-key"] == KEY
    assert "model_upstream.put" in told[-3 - 1]
    for text in told:
        assert KEY not in text
        assert KEY.encode().hex() not in text


async def test_key__that_the_provider_repeats_is_taken_out(
    worker: Worker, spoilt: SpoiltProvider
) -> None:
    await worker.upstream(url=f"{spoilt.url}/echoes", key=KEY, auth="bearer")
    answer = await worker.ask("/v1/messages")
    assert answer.json() == {"error": {"message": "wrong key: Bearer [redacted]"}}
    assert "request-id" not in answer.headers
    assert answer.headers["anthropic-ratelimit-tokens"] == "7"
    (call,) = await worker.calls()
    assert KEY not in call["provider_id"]


async def test_caller__its_credentials_and_headers_stay_here(
    worker: Worker, spoilt: SpoiltProvider
) -> None:
    await worker.upstream(url=f"{spoilt.url}/cookies", key=KEY)
    headers = {
        "X-API-Key": "its-own-key",
        "Cookie": "a=b",
        "X-Goog-Api-Key": "another",
        "OpenAI-Organization": "org",
        "X-Forwarded-For": "10.0.0.1",
        "X-Berth-Identity": "somebody",
        "Anthropic-Beta": "one,two",
        "Anthropic-Version": "2023-06-01",
        "User-Agent": "an-agent/1.0",
        "Idempotency-Key": "7",
    }
    asked = request_of("/v1/messages", "x")
    for _ in range(2):
        answer = await worker.http.post(
            "/v1/messages?beta=true&key=its-own-key", json=asked, headers=headers
        )
        assert "set-cookie" not in answer.headers
    for seen in spoilt.seen:
        assert seen.line == "POST /cookies/v1/messages?beta=true HTTP/1.1"
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        for name in ("anthropic-beta", "anthropic-version", "user-agent", "idempotency-key"):
            assert seen.headers[name]
        assert set(seen.headers) <= {
            "host", "authorization", "content-type", "content-length", "accept", "accept-encoding",
            "anthropic-beta", "anthropic-version", "user-agent", "idempotency-key",
        }  # fmt: skip
        assert TOKEN not in str(seen)


async def test_ciphertext__of_another_project_does_not_open(worker: Worker) -> None:
    connection = worker.plane.connection
    other = await worker.plane.project("other")
    await connection.execute(
        "INSERT INTO model_upstreams (project_id, name, url, formats, models, auth, sealed_key)"
        " SELECT $1, name, url, formats, models, auth, sealed_key FROM model_upstreams",
        other,
    )
    swapped = "UPDATE model_upstreams SET sealed_key = $1 WHERE project_id <> $2"
    keys = ModelKeys(secret_of(SECRET_KEY))
    theirs = keys.seal("sk-theirs", project_id=other, name="scripted")
    await connection.execute(swapped, theirs, other)
    answer = await worker.ask("/v1/messages")
    assert answer.status_code == 503
    assert "an administrator sets it again" in answer.json()["error"]["message"]
    assert await worker.calls() == []


async def test_secret_key__that_is_missing_keeps_keys_from_being_set_alone(
    worker: Worker, model: ScriptedModel
) -> None:
    """Another replica, without one; everything else runs."""
    app = build_app(msgspec.structs.replace(worker.plane.app._settings, secret_key=None))
    async with serving(app, on_stop=app.stop) as url:
        body = {"url": NOBODY, "formats": ["chat"], "models": ["m"], "key": KEY}
        http = worker.owner.http
        put = await http.put(f"{url}{worker.upstreams}/another", json=body)
        assert (put.status_code, put.json()["code"]) == (503, "dependency_unavailable")
        (missing,) = put.json()["details"]["missing"]
        assert "BERTH_SECRET_KEY_FILE" in missing["how"]
        assert KEY not in put.text
        without = {**body, "url": model.url, "key": None, "formats": ["messages"]}
        kept = await http.put(f"{url}{worker.upstreams}/scripted", json=without)
        assert kept.status_code == 200, kept.text
        path = f"/internal/v1/workers/{worker.id}/models/v1"
        answer = await worker.http.post(
            f"{url}{path}/messages", json=request_of("/v1/messages", "x")
        )
        assert answer.status_code == 503
        assert "BERTH_SECRET_KEY_FILE" in answer.json()["error"]["message"]
        assert (await worker.http.get(f"{url}{path}/models")).json()["data"]
    assert await worker.calls() == []


def test_seal__is_of_one_project_name_and_secret() -> None:
    project_id = uuid4()
    keys = ModelKeys(secret_of(SECRET_KEY))
    sealed = keys.seal(KEY, project_id=project_id, name="one")
    assert keys.open(sealed, project_id=project_id, name="one") == KEY
    assert sealed != keys.seal(KEY, project_id=project_id, name="one")
    for opener, about in [
        (keys, {"project_id": uuid4(), "name": "one"}),
        (keys, {"project_id": project_id, "name": "two"}),
        (ModelKeys(b"\x01" * 32), {"project_id": project_id, "name": "one"}),
        (GitKeys(secret_of(SECRET_KEY)), {"project_id": project_id, "name": "one"}),
    ]:
        with pytest.raises(SealBroken):
            opener.open(sealed, **about)
    for wrong in (b"", sealed[:20], b"\x02" + sealed[1:], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(SealBroken):
            keys.open(wrong, project_id=project_id, name="one")


def test_seal__of_a_former_release_opens() -> None:
    """Keys that were set stay: version, nonce, AES-256-GCM over the table's name and the row's."""
    project_id, secret, nonce = uuid4(), secret_of(SECRET_KEY), b"n" * 12
    about = b"model_upstreams\x00" + project_id.bytes + b"one"
    sealed = b"\x01" + nonce + AESGCM(secret).encrypt(nonce, KEY.encode(), about)
    assert ModelKeys(secret).open(sealed, project_id=project_id, name="one") == KEY


@pytest.mark.parametrize("text", ["", "short", "A" * 43, "not base64 at all!", "QUJD"])
def test_secret_key__that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="BERTH_SECRET_KEY should be 32 random bytes") as raised:
        secret_of(text)
    assert not text or text not in str(raised.value)


def test_settings__say_what_is_wrong(worker: Worker) -> None:
    settings = worker.plane.app._settings
    with pytest.raises(ValueError, match="BERTH_SECRET_KEY"):
        msgspec.structs.replace(settings, secret_key="short")
    with pytest.raises(ValueError, match="'http://a/b' is no host"):
        msgspec.structs.replace(settings, model_hosts=["http://a/b"])
