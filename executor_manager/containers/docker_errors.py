"""The engine's answers as the errors of every backend; the one place that reads its texts.

The SDK's exceptions and the HTTP library's below it end here: nothing else knows them.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound

from executor_manager.containers.errors import (
    BackendError,
    ImageMissing,
    Missing,
    NameTaken,
    NoSpace,
    Running,
    StartFailed,
    Timeout,
    Unreachable,
)

_LATE = (TimeoutError, BlockingIOError, requests.Timeout, urllib3.exceptions.TimeoutError)
"""BlockingIOError: nobody accepts on the socket any more, and its queue is full."""

_KINDS: tuple[tuple[type[BackendError], tuple[str, ...]], ...] = (
    (ImageMissing, ("no such image",)),
    (Missing, ("no such container", "no such volume")),
    (
        NoSpace,
        (
            "no space left",
            "disk quota exceeded",
            "resource temporarily unavailable",
            "too many open files",
            "cannot allocate memory",
            "available, non-overlapping ipv4 address pool",
            "no available ipv4 addresses",
        ),
    ),
    (NameTaken, ("is already in use by container",)),
    (
        Running,
        (
            "cannot remove a running container",
            "cannot remove a paused container",
            # from Docker 25 on
            "stop the container before removing",
            "must be unpaused first",
        ),
    ),
    # its own runtime below it is away
    (Unreachable, ("transport is closing", "containerd.sock", "daemon is shutting down")),
)


class RemovalUnderWay(BackendError):
    """Somebody else's removal of the same container goes on."""


@contextmanager
def told(doing: str, *, starting: bool = False) -> Generator[None]:
    """Raises `BackendError`. `starting`: what is refused is a failed start."""
    try:
        yield
    except APIError as error:
        raise _of_answer(error, doing, starting=starting) from error
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _of_connection(error, doing) from error


def _of_answer(error: APIError, doing: str, *, starting: bool) -> BackendError:
    text = str(error.explanation or error)
    lowered = text.lower()
    message = f"{doing}: {text}"
    if isinstance(error, ImageNotFound):
        return ImageMissing(message)
    for kind, marks in _KINDS:
        if any(mark in lowered for mark in marks):
            return kind(message)
    if "already in progress" in lowered or "marked for removal" in lowered:
        return RemovalUnderWay(message)
    status = error.response.status_code if error.response is not None else None
    if status in {502, 503}:
        return Unreachable(message)
    return StartFailed(message) if starting else BackendError(message)


def _of_connection(error: BaseException, doing: str) -> BackendError:
    if any(isinstance(cause, _LATE) for cause in _causes(error)):
        return Timeout(f"{doing}: the engine does not answer")
    return Unreachable(f"{doing}: the engine cannot be reached: {error}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """With what the libraries put into their arguments instead of the chain."""
    queue, seen = [error], set[int]()
    while queue:
        cause = queue.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        around = (cause.__cause__, cause.__context__, *cause.args)
        queue += [one for one in around if isinstance(one, BaseException)]
