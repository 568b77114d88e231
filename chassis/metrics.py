"""A service's own Prometheus registry, with what every service counts."""

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """`registry` takes a service's further collectors."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.http_seconds = Histogram(
            "berth_http_request_seconds",
            "How long requests took, streams until their end",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.loop_passes = Counter(
            "berth_loop_passes_total",
            "Passes of each background duty",
            ["loop", "result"],
            registry=self.registry,
        )

    def render(self) -> bytes:
        return generate_latest(self.registry)
