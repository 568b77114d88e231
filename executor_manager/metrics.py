"""What the manager counts, beside what every service does."""

from prometheus_client import Counter, Gauge, Histogram

from chassis.metrics import Metrics

AGES = (1, 5, 15, 60, 300, 900, 3600, 14400, 86400)
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
        self._count_warm()
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
        self.stuck = Gauge(
            "berth_manager_workers_stuck",
            "Workers that the backend refuses to end or remove: tried again, ever more rarely",
            registry=self.registry,
        )
        self.strangers = Gauge(
            "berth_manager_strangers",
            "Containers that look like ours and that nobody knows: reported, never touched",
            registry=self.registry,
        )

    def _count_warm(self) -> None:
        self.warm = Gauge(
            "berth_warm_containers",
            "Containers that wait for a session: wanted, and ready",
            ["kind"],
            registry=self.registry,
        )
        self.warm_hits = Counter(
            "berth_warm_hits_total", "Starts that a warm container served", registry=self.registry
        )
        self.warm_misses = Counter(
            "berth_warm_misses_total",
            "Starts that none served, by why",
            ["reason"],
            registry=self.registry,
        )
        self.warm_failures = Counter(
            "berth_warm_failures_total",
            "Warm containers that did not come up, or were found dead",
            registry=self.registry,
        )
        self.warm_age_seconds = Histogram(
            "berth_warm_age_seconds",
            "How long a warm container had waited when it was used",
            buckets=AGES,
            registry=self.registry,
        )
