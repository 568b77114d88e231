"""What engines of several versions say, as the errors of every backend."""

import pytest
from docker.errors import APIError

from executor_manager.containers.docker_errors import RemovalUnderWay, told
from executor_manager.containers.errors import BackendError, NameTaken, NoSpace, Running

NOW = 'cannot remove container "/x": container is'
"""How Docker 25 and later begin."""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("You cannot remove a running container 1. Stop the container first", Running),
        (f"{NOW} running: stop the container before removing or force remove", Running),
        (f"{NOW} paused and must be unpaused first", Running),
        ("write /var/lib/docker/x: no space left on device", NoSpace),
        ("could not find an available, non-overlapping IPv4 address pool among", NoSpace),
        ("no available IPv4 addresses on this network's address pools", NoSpace),
        ("fork/exec /usr/bin/runc: resource temporarily unavailable", NoSpace),
        ('Conflict. The container name "/x" is already in use by container "1".', NameTaken),
        ("removal of container x is already in progress", RemovalUnderWay),
        ("driver overlay2 failed to remove root filesystem: device or resource busy", BackendError),
    ],
)
def test_told__by_what_the_engine_says(text: str, kind: type[BackendError]) -> None:
    with pytest.raises(kind), told("removing"):
        raise APIError("refused", explanation=text)
