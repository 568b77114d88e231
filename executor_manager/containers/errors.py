"""What a container backend raises.

BackendError                a reason from a closed list, and what to do about it
├── Refused                 the installation's rules do not allow what was asked
│   ├── ImageNotAllowed     the image is not on the list, or not fit
│   ├── RuntimeMissing      the engine has no such runtime, or it is not on the list
│   └── TierRefused         this host is not fit for such sessions
├── ImageMissing            the image is not there and could not be had
├── NoSpace                 the disk, or what it has of inodes, pids or addresses, is used up
├── NameTaken               something that is not ours has the container's name
├── Missing                 there is no such container
├── Running                 it runs, and only what has stopped can be removed
├── StartFailed             the backend refused or failed to start it
├── Unreachable             the backend itself is away: nothing is known, so nothing is decided
└── Timeout                 no answer within the deadline: it may or may not have happened
"""


class BackendError(Exception):
    reason = "backend_failed"


class Refused(BackendError):
    reason = "refused"


class ImageNotAllowed(Refused):
    reason = "image_not_allowed"


class RuntimeMissing(Refused):
    reason = "runtime_missing"


class TierRefused(Refused):
    reason = "tier_refused"


class ImageMissing(BackendError):
    reason = "image_missing"


class NoSpace(BackendError):
    reason = "no_space"


class NameTaken(BackendError):
    reason = "name_taken"


class Missing(BackendError):
    reason = "container_missing"


class Running(BackendError):
    reason = "container_running"


class StartFailed(BackendError):
    reason = "start_failed"


class Unreachable(BackendError):
    reason = "backend_unreachable"


class Timeout(BackendError):
    reason = "backend_timeout"
