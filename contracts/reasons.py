"""Why a run ended or was retried: the closed list, with remedies and whether a retry can help."""

import enum
from typing import NamedTuple


class Reason(enum.StrEnum):
    COMPLETED = "completed"
    CANCELED = "canceled"
    CANCEL_DEADLINE = "cancel_deadline"
    REFUSED_BY_PERSON = "refused_by_person"
    REFUSED_BY_MODEL = "refused_by_model"
    OUTPUT_LIMIT = "output_limit"
    TURN_LIMIT = "turn_limit"
    DURATION_LIMIT = "duration_limit"
    AGENT_MISSING = "agent_missing"
    AGENT_START_FAILED = "agent_start_failed"
    AGENT_CRASHED = "agent_crashed"
    AGENT_SILENT = "agent_silent"
    AGENT_ERROR = "agent_error"
    AGENT_STATE_BROKEN = "agent_state_broken"
    MODEL_UNAUTHORIZED = "model_unauthorized"
    MODEL_NOT_FOUND = "model_not_found"
    MODEL_RATE_LIMITED = "model_rate_limited"
    MODEL_UNAVAILABLE = "model_unavailable"
    MODEL_BAD_REQUEST = "model_bad_request"
    MODEL_STREAM_CUT = "model_stream_cut"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    REQUIRED_PATHS_MISSING = "required_paths_missing"
    LAYER_CONFLICT = "layer_conflict"
    RUNTIME_TOO_OLD = "runtime_too_old"
    RESTORE_FAILED = "restore_failed"
    CHECKOUT_REFUSED = "checkout_refused"
    CHECKOUT_NOT_FOUND = "checkout_not_found"
    CHECKOUT_REF_MISSING = "checkout_ref_missing"
    CHECKOUT_PLACE_TAKEN = "checkout_place_taken"
    CHECKOUT_FAILED = "checkout_failed"
    EXECUTOR_INTERRUPTED = "executor_interrupted"
    WORKER_LOST = "worker_lost"
    WORKER_START_FAILED = "worker_start_failed"
    IMAGE_NOT_ALLOWED = "image_not_allowed"
    IMAGE_MISSING = "image_missing"
    RUNTIME_MISSING = "runtime_missing"
    TIER_REFUSED = "tier_refused"
    WORKER_LOST_REPEATEDLY = "worker_lost_repeatedly"
    WORKER_REMOVED = "worker_removed"
    DRAINED = "drained"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    CAPABILITY_MISSING = "capability_missing"
    BLOCKED_BY_AGENT = "blocked_by_agent"


class Advice(NamedTuple):
    remedy: str
    retry_helps: bool
    counts_as_failure: bool = True
    """Whether an attempt that ended so raises `failures` (drains and parks do not)."""


ADVICE: dict[Reason, Advice] = {
    Reason.COMPLETED: Advice("Nothing to do.", retry_helps=False, counts_as_failure=False),
    Reason.CANCELED: Advice("Send the message again if it was canceled by mistake.", True, False),
    Reason.CANCEL_DEADLINE: Advice(
        "The worker did not stop in time and was superseded; send the message again.", True, False
    ),
    Reason.REFUSED_BY_PERSON: Advice(
        "A person refused what the agent asked for; say what it should do instead.", False, False
    ),
    Reason.REFUSED_BY_MODEL: Advice("The model refused; change the request.", False),
    Reason.OUTPUT_LIMIT: Advice(
        "The answer hit the model's output limit; ask it to continue.", True
    ),
    Reason.TURN_LIMIT: Advice("The agent used up its turns; ask it to continue.", True),
    Reason.DURATION_LIMIT: Advice("Raise the run's max_duration_seconds, or ask for less.", True),
    Reason.AGENT_MISSING: Advice(
        "Install the agent where the executors run, or choose another agent.", False
    ),
    Reason.AGENT_START_FAILED: Advice("See the run's log for what the agent printed.", True),
    Reason.AGENT_CRASHED: Advice("The agent's process ended; see the run's log.", True),
    Reason.AGENT_SILENT: Advice(
        "The agent sent nothing for too long and was ended; its model may hang.", True
    ),
    Reason.AGENT_ERROR: Advice("The agent reported an error; see the detail.", True),
    Reason.AGENT_STATE_BROKEN: Advice("Roll the session back to an earlier snapshot.", False),
    Reason.MODEL_UNAUTHORIZED: Advice(
        "The provider did not accept the project's key: set another one with berth models set.",
        False,
    ),
    Reason.MODEL_NOT_FOUND: Advice(
        "Choose a model that the project offers, or set an upstream that has it: berth models set.",
        False,
    ),
    Reason.MODEL_RATE_LIMITED: Advice(
        "The provider limits how much may be asked: wait, or have the limit raised.", True
    ),
    Reason.MODEL_UNAVAILABLE: Advice("The provider failed, or is away; retry later.", True),
    Reason.MODEL_BAD_REQUEST: Advice("The provider refused the request; see the detail.", False),
    Reason.MODEL_STREAM_CUT: Advice(
        "An answer of the model was cut on its way and never came whole; ask it to continue.", True
    ),
    Reason.OUT_OF_MEMORY: Advice(
        "The session used up its memory: raise its memory_mib, or have it do less at once.", True
    ),
    Reason.DISK_FULL: Advice(
        "The session's files need more than its disk_mib: raise it, or delete some of them.", False
    ),
    Reason.REQUIRED_PATHS_MISSING: Advice("Add the missing paths to the workspace.", False),
    Reason.LAYER_CONFLICT: Advice(
        "The app's conflict_policy is fail: move what the detail names away, or have another"
        " policy.",
        False,
    ),
    Reason.RUNTIME_TOO_OLD: Advice(
        "A newer runtime saved the session: raise the app's runtime_version, or roll the session"
        " back.",
        False,
    ),
    Reason.RESTORE_FAILED: Advice("The snapshot could not be restored; see the detail.", True),
    Reason.CHECKOUT_REFUSED: Advice(
        "The egress policy does not name the repository, or its host wants a credential: an owner"
        " runs berth egress set custom --repository HOST/PATH, or berth git set HOST; then retry.",
        False,
    ),
    Reason.CHECKOUT_NOT_FOUND: Advice(
        "The host shows no such repository: correct its URL, or give the project a credential that"
        " may read it (berth git set HOST), then begin a new session.",
        False,
    ),
    Reason.CHECKOUT_REF_MISSING: Advice(
        "The repository has no such branch, tag or commit: begin a new session with another --ref.",
        False,
    ),
    Reason.CHECKOUT_PLACE_TAKEN: Advice(
        "Files of the app, or of the session, stand where the repository's would: have the app"
        " seed other paths, or begin a new session.",
        False,
    ),
    Reason.CHECKOUT_FAILED: Advice(
        "The repository could not be cloned; see the detail for what git said.", True
    ),
    Reason.EXECUTOR_INTERRUPTED: Advice("The executor was restarted; it is tried again.", True),
    Reason.WORKER_LOST: Advice("The worker was lost; it is tried again.", True),
    Reason.WORKER_START_FAILED: Advice(
        "The worker did not become ready: see the detail, and its log.", True
    ),
    Reason.IMAGE_NOT_ALLOWED: Advice(
        "Give the app an image that is allowed, or have an administrator add it to BERTH_IMAGES.",
        False,
    ),
    Reason.IMAGE_MISSING: Advice(
        "Have an administrator load or pull the image on the hosts: managers never do.", True
    ),
    Reason.RUNTIME_MISSING: Advice(
        "Give the app another runtime, or have it installed, set up in the engine, and named in"
        " BERTH_RUNTIMES.",
        False,
    ),
    Reason.TIER_REFUSED: Advice(
        "Have an administrator mend what berth doctor finds on the hosts; only then may untrusted"
        " sessions run there.",
        False,
    ),
    Reason.WORKER_LOST_REPEATEDLY: Advice(
        "Several workers in a row were lost with this run: see the detail, then look at its limits"
        " and at the host.",
        True,
    ),
    Reason.WORKER_REMOVED: Advice("Its worker was removed by force; retry the run.", True, False),
    Reason.DRAINED: Advice("Its host was drained; it goes on elsewhere.", True, False),
    Reason.ATTEMPTS_EXHAUSTED: Advice("Every attempt failed; see the last attempt's reason.", True),
    Reason.CAPABILITY_MISSING: Advice("Choose an agent that has what the run needs.", False),
    Reason.BLOCKED_BY_AGENT: Advice(
        "The agent says what it lacks in the detail: provide it, then send a message.", False, False
    ),
}
