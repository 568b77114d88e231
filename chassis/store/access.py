"""Where an object store is, and as whom we go there."""

from urllib.parse import urlsplit

import msgspec

from chassis.objects import DEADLINE, ObjectStore
from chassis.settings import Secret


class StoreAccess(msgspec.Struct, frozen=True, kw_only=True):
    """The settings `BERTH_OBJECT_STORE_*`, without that prefix."""

    url: str
    bucket: str
    access_key: Secret
    secret_key: Secret
    region: str = "us-east-1"
    signed_url: str | None = None
    """As the relays reach the store, where that differs from `url`."""

    def __post_init__(self) -> None:
        for name, url in (("URL", self.url), ("SIGNED_URL", self.signed_url)):
            if url is not None and not _is_address(url):
                raise ValueError(f"BERTH_OBJECT_STORE_{name} should be http(s)://host[:port]")

    def open(self, *, deadline: float = DEADLINE) -> ObjectStore:
        return ObjectStore(
            self.url,
            self.bucket,
            self.access_key,
            self.secret_key,
            self.region,
            signed_endpoint_url=self.signed_url,
            deadline=deadline,
        )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is none
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
