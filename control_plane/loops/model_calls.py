"""Books what a control plane that died left open: `services.model_calls`."""

from chassis.loop import Loop
from chassis.metrics import Metrics
from control_plane.services.model_calls import ModelCalls

EVERY_SECONDS = 15.0


def model_call_loops(model_calls: ModelCalls, metrics: Metrics) -> list[Loop]:
    return [Loop("model_calls", EVERY_SECONDS, model_calls.close_overdue, metrics)]
