"""What the control plane counts, beside what every service does."""

from prometheus_client import Counter

from chassis.metrics import Metrics


class ControlPlaneMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__()
        self.collected = Counter(
            "berth_collection_total",
            "Snapshots that went in passing, and objects by the step that collecting them took",
            ["step"],
            registry=self.registry,
        )
        self.verified = Counter(
            "berth_verified_total",
            "Manifests and packs that verifications read, and what of them was damaged",
            ["what"],
            registry=self.registry,
        )
