"""What the manager counts, beside what every service does."""

from prometheus_client import Counter, Gauge, Histogram

from chassis.metrics import Metrics

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ManagerMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__()
        self.workers = Gauge(
            "berth_manager_workers", "Workers on this host", ["stage"], registry=self.registry
        )
        self.startup_seconds = Histogram(
            "berth_startup_step_seconds",
            "How long each step of a worker's start took",
            ["step"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.restarts = Counter(
            "berth_worker_restarts_total",
            "Executors started again in the same epoch",
            registry=self.registry,
        )
        self.kept = Counter(
            "berth_workers_kept_total",
            "Superseded workers that could not save aside",
            registry=self.registry,
        )
        self.strangers = Gauge(
            "berth_manager_strangers",
            "Containers that look like ours and that nobody knows: reported, never touched",
            registry=self.registry,
        )
