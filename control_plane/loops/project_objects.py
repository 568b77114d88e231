"""Deletes content that no file of a project names any more: `services.project_objects`."""

from chassis.loop import Loop
from chassis.metrics import Metrics
from control_plane.services.project_objects import ProjectObjects

EVERY_SECONDS = 300.0


def project_object_loops(project_objects: ProjectObjects, metrics: Metrics) -> list[Loop]:
    return [Loop("project_objects", EVERY_SECONDS, project_objects.collect, metrics)]
