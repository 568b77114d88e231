"""How much one may call: a token bucket for each key, in this process."""

from collections import OrderedDict
from dataclasses import dataclass

from chassis.clock import Clock

MOST_BUCKETS = 20_000
"""The one unused for longest goes first: it is the likeliest to be full anyway."""


@dataclass(frozen=True, slots=True)
class Allowance:
    limit: int
    remaining: int
    reset: float
    """Seconds until the bucket is full."""
    retry_after: float | None
    """Seconds until the next request may come; None: this one may."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % -int(-self.reset // 1)),
        ]


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimiter:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key_id: str, per_minute: int) -> Allowance:
        """A minute's worth may come at once; then they come in evenly."""
        now = self._clock.monotonic()
        bucket = self._buckets.setdefault(key_id, _Bucket(per_minute, now))
        self._buckets.move_to_end(key_id)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        rate = per_minute / 60
        tokens = min(per_minute, bucket.tokens + (now - bucket.filled_at) * rate)
        allowed = tokens >= 1
        bucket.tokens, bucket.filled_at = tokens - allowed, now
        return Allowance(
            limit=per_minute,
            remaining=int(bucket.tokens),
            reset=(per_minute - bucket.tokens) / rate,
            retry_after=None if allowed else (1 - tokens) / rate,
        )
