"""What is said of stores: of those that Berth can use, and of one that accepts anything."""

from collections.abc import AsyncGenerator

import msgspec
import pytest

from chassis.errors import DependencyUnavailable
from chassis.settings import SettingsError, load
from chassis.store import refusals
from chassis.store.access import StoreAccess
from chassis.store.check import FULL, QUICK, Finding, Probe, UnfitStore, check_store, require_store
from tests.fixtures.bad_store import bad_store
from tests.fixtures.object_store import StoreServer

NAMES = [probe.name for probe in FULL]

UNSAFE = {
    "wrong_md5",
    "wrong_length",
    "anonymous",
    "other_key",
    "other_method",
    "tampered_url",
    "expired_url",
    "wrong_secret",
    "unknown_key",
    "nothing_kept",
}


class NamedStore(msgspec.Struct, frozen=True, kw_only=True):
    """`BERTH_TEST_S3_URL`, …: a store to try besides our own."""

    url: str | None = None
    bucket: str = "berth-check"
    access_key: str = ""
    secret_key: str = ""


@pytest.fixture
def embedded(object_store_server: StoreServer) -> StoreAccess:
    server = object_store_server
    return StoreAccess(
        url=server.endpoint,
        bucket=server.bucket,
        access_key=server.access_key,
        secret_key=server.secret_key,
    )


@pytest.fixture
async def named() -> StoreAccess:
    given = load(NamedStore, prefix="BERTH_TEST_S3_")
    if given.url is None:
        pytest.skip("s3: BERTH_TEST_S3_URL, ..._ACCESS_KEY and ..._SECRET_KEY name no store")
    access = msgspec.convert(msgspec.to_builtins(given), StoreAccess)
    store = access.open()
    await store.ensure_bucket()
    store.close()
    return access


@pytest.fixture
async def bad() -> AsyncGenerator[StoreAccess]:
    async with bad_store() as url:
        yield StoreAccess(url=url, bucket="b", access_key="anybody", secret_key="anything")


async def found(access: StoreAccess, probes: tuple[Probe, ...] = FULL) -> list[Finding]:
    return [finding async for finding in check_store(access, probes)]


async def left_in(access: StoreAccess) -> list[str]:
    store = access.open()
    try:
        return [one.key for one in await store.list("berth-check/")]
    finally:
        store.close()


async def test_embedded_store__passes_and_is_left_as_it_was(embedded: StoreAccess) -> None:
    assert await found(embedded) == [Finding(check=name, passed=True) for name in NAMES]
    assert await left_in(embedded) == []


@pytest.mark.s3
async def test_named_store__passes_and_is_left_as_it_was(named: StoreAccess) -> None:
    assert await found(named) == [Finding(check=name, passed=True) for name in NAMES]
    assert await left_in(named) == []


async def test_bad_store__fails_by_name_with_reasons_and_remedies(
    bad: StoreAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "EXPIRED_WITHIN", 2.0)
    findings = await found(bad)
    assert [finding.check for finding in findings] == NAMES
    failed = {finding.check: finding for finding in findings if not finding.passed}
    assert set(failed) == UNSAFE
    assert failed["wrong_md5"].reason == "it accepts a body of another MD5 than was signed"
    kept = failed["nothing_kept"].reason
    assert kept == "it keeps what was sent for cut_upload, wrong_length, wrong_md5"
    assert all(finding.remedy for finding in failed.values())


async def test_bad_store__is_refused_by_the_quick_check(bad: StoreAccess) -> None:
    with pytest.raises(UnfitStore) as caught:
        await require_store(bad, QUICK)
    (missing,) = caught.value.details["missing"]
    assert missing["what"] == "object_store"
    assert "wrong_md5: it accepts" in missing["how"]
    assert "wrong_length: it accepts" in missing["how"]


async def test_wrong_bucket__ends_the_check(embedded: StoreAccess) -> None:
    (only,) = await found(msgspec.structs.replace(embedded, bucket="nowhere"))
    assert (only.check, only.reason) == ("bucket", "create the bucket nowhere")


async def test_wrong_secret__ends_the_check(embedded: StoreAccess) -> None:
    (only,) = await found(msgspec.structs.replace(embedded, secret_key="wrong-secret"))
    assert only.check == "bucket"
    assert "keys" in only.reason


async def test_store_that_is_away__is_no_finding(embedded: StoreAccess) -> None:
    with pytest.raises(DependencyUnavailable, match="object_store"):
        await found(msgspec.structs.replace(embedded, url="http://127.0.0.1:1"))


@pytest.mark.parametrize("url", ["x", "ftp://host", "http://", "http://host:port"])
def test_address_that_is_none__is_named(url: str) -> None:
    environ = {f"S_{name}": "x" for name in ("BUCKET", "ACCESS_KEY", "SECRET_KEY")}
    with pytest.raises(SettingsError, match="BERTH_OBJECT_STORE_URL should be"):
        load(StoreAccess, prefix="S_", environ={**environ, "S_URL": url})
