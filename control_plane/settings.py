"""The control plane's settings: one frozen struct, read once at start from `BERTH_*`."""

from typing import Annotated

import msgspec

from chassis.settings import Secret
from chassis.store.access import StoreAccess
from control_plane.domain.claims import Timing
from control_plane.domain.git_hosts import GitHosts
from control_plane.domain.git_keys import GitKeys
from control_plane.domain.line import Policy
from control_plane.domain.model_hosts import ModelHosts
from control_plane.domain.model_keys import ModelKeys, secret_of
from control_plane.domain.packs import Retention

Seconds = Annotated[float, msgspec.Meta(gt=0)]

SENSITIVE = [".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx"]
PROVIDERS = ["api.anthropic.com", "api.openai.com"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    database_url: Secret
    object_store_url: str
    """Where this process reaches the store."""
    object_store_signed_url: str | None = None
    """Where the relays reach it, if elsewhere: signed URLs are bound to this host."""
    object_store_bucket: str
    object_store_access_key: Secret
    object_store_secret_key: Secret
    object_store_region: str = "us-east-1"

    gateway_public_key: str
    """PEM, Ed25519: whose signature on `X-Berth-Identity` is believed."""
    gateway_service_key: Secret
    manager_service_key: Secret

    default_agent: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "scripted"
    """Of a session that names neither an agent nor an app."""

    model_hosts: list[str] = msgspec.field(default_factory=PROVIDERS.copy)
    """Hosts that projects' model upstreams may lead to: a name means HTTPS on its usual port,
    `http://model:8080` that origin exactly.
    """
    secret_key: Secret | None = None
    """32 random bytes in base64, under which keys of providers and of git hosts are kept; usually
    given as BERTH_SECRET_KEY_FILE. None: no key can be set. Another one than before: set all again.
    """
    model_call_seconds: Seconds = 1800.0
    """For a whole call to a model's provider."""
    model_silence_seconds: Seconds = 600.0
    """A provider that says nothing for so long is given up."""

    git_hosts: list[str] = []
    """Git hosts that are not simply on HTTPS's usual port at addresses of the internet:
    `git.example.org` may have private ones, `https://git.example.org:8443` is that origin, and
    `git.example.org=http://git:8080` one that policies call by another name.
    """
    git_seconds: Seconds = 3600.0
    """For a whole clone, fetch or push."""
    git_silence_seconds: Seconds = 120.0
    """A git host that says nothing for so long is given up."""
    git_request_mib: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 256
    """One push, at most; BERTH_RELAY_BODY_BYTES of the relay is another limit to it."""
    git_answer_mib: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] = 4096
    """One clone or fetch, at most."""

    import_mib: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] = 16384
    """A session's archive, at most; the gateway's BERTH_MAX_IMPORT_BYTES is another limit to it."""

    sensitive_names: list[str] = msgspec.field(default_factory=SENSITIVE.copy)
    """Files of such names, and what is in directories of such names, are for owners: `*` stands for
    any characters.
    """
    project_file_mib: Annotated[int, msgspec.Meta(ge=1, le=64)] = 64
    """One file of a project; the gateway's BERTH_MAX_BODY_BYTES is another limit to it."""
    project_files_mib: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] = 1024
    """All files of one project."""
    project_files_count: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    """Files and directories of one project; its sessions get all of them."""
    project_files_grace_seconds: Seconds = 3600.0
    """Content that no file names is condemned after so long, and deleted after as long again."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8010
    pool_size: Annotated[int, msgspec.Meta(ge=2, le=200)] = 12
    loops: bool = True
    """Off: this replica serves only; another one runs the background duties."""
    worker_calls_per_minute: Annotated[int, msgspec.Meta(ge=60)] = 6000
    """Of one session's worker, to each replica; a minute's worth may come at once."""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 8 * 1024 * 1024
    cors_origins: list[str] = []
    debug: bool = False
    log_level: str = "info"
    trace_exporter: str = "none"
    failpoints: str = ""
    graceful_seconds: Seconds = 8.0

    lease_seconds: Seconds = 30.0
    """A worker that no heartbeat renewed for so long may be taken over."""
    heartbeat_seconds: Seconds = 5.0
    """How often managers report; told to them when they register."""
    outage_grace_seconds: Seconds = 900.0
    """An executor that reaches nobody for so long ends its agent by itself."""
    idle_after_seconds: Seconds = 600.0
    """A worker without a run for so long is saved and stopped."""
    remove_after_seconds: Seconds = 3600.0
    """A worker that was saved and stopped so long ago is removed."""
    park_after_seconds: Seconds = 900.0
    """A run that waits for a person for so long lets its worker go."""
    unoffered_after_seconds: Seconds = 600.0
    """A queued run whose agent no living manager offers for so long is blocked."""
    forget_commands_after_seconds: Seconds = 3600.0
    """Commands are kept so long after they were done, or their worker was removed."""
    job_deadline_seconds: Seconds = 300.0
    """What a job over many workers has not reached by then is told as timed out."""
    save_overdue_seconds: Seconds = 900.0
    """A worker that wrote so long ago and has not saved since is asked to."""
    keep_checkpoints_seconds: Seconds = 86_400.0
    """Checkpoints go so long after their run has ended; its last snapshot stays."""
    keep_side_snapshots_seconds: Seconds = 2_592_000.0
    """What superseded workers saved aside goes so long after."""
    condemn_packs_after_seconds: Seconds = 86_400.0
    """An upload that no snapshot names after so long is condemned: longer than any save takes."""
    delete_packs_after_seconds: Seconds = 86_400.0
    """What is condemned is deleted so long after, unless a snapshot names it again."""
    verify_mib_per_second: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 64
    """What a verification of workspaces reads from the object store, at most, in each replica."""
    cancel_grace_seconds: Seconds = 5.0
    """What an agent has to end its turn by itself before its processes are ended."""
    cancel_deadline_seconds: Seconds = 45.0
    """A canceled run that its executor has not ended by then costs the worker its epoch."""
    save_deadline_seconds: Seconds = 120.0
    """After so long without a successful save a run ends as unsaved."""
    backoff_base_seconds: Seconds = 1.0
    """Before the first retry, at most; doubled with each failure."""
    backoff_cap_seconds: Seconds = 120.0
    """Before any retry, at most."""
    max_losses: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    """Workers lost in a row with one run, until it is given up."""
    claim_batch: Annotated[int, msgspec.Meta(ge=1, le=200)] = 10
    """Runs that one claim is given, at most."""
    wait_queue_limit: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 100
    """With more runs than that waiting for executors `Prefer: wait` is refused (Retry-After)."""
    sse_heartbeat_seconds: Seconds = 10.0
    """Between signs of life on a quiet event stream."""
    poll_seconds: Seconds = 2.0
    """Polling is the truth, NOTIFY the hint."""

    def __post_init__(self) -> None:
        # each raises ValueError for what it cannot use
        _ = self.object_store, self.allowed_model_hosts, self.model_keys, self.named_git_hosts
        for pattern in self.sensitive_names:
            if not 0 < len(pattern) <= 100 or "/" in pattern or pattern.count("*") > 4:
                expected = "a name of 1 to 100 characters without /, with at most 4 *"
                raise ValueError(f"sensitive_names: {pattern!r}: expected {expected}")

    @property
    def object_store(self) -> StoreAccess:
        return StoreAccess(
            url=self.object_store_url,
            bucket=self.object_store_bucket,
            access_key=self.object_store_access_key,
            secret_key=self.object_store_secret_key,
            region=self.object_store_region,
            signed_url=self.object_store_signed_url,
        )

    @property
    def allowed_model_hosts(self) -> ModelHosts:
        return ModelHosts(self.model_hosts)

    @property
    def model_keys(self) -> ModelKeys | None:
        return ModelKeys(secret_of(self.secret_key)) if self.secret_key else None

    @property
    def named_git_hosts(self) -> GitHosts:
        return GitHosts(self.git_hosts)

    @property
    def git_keys(self) -> GitKeys | None:
        return GitKeys(secret_of(self.secret_key)) if self.secret_key else None

    @property
    def policy(self) -> Policy:
        return Policy(
            lease=self.lease_seconds,
            cancel_deadline=self.cancel_deadline_seconds,
            backoff_base=self.backoff_base_seconds,
            backoff_cap=self.backoff_cap_seconds,
            max_losses=self.max_losses,
        )

    @property
    def retention(self) -> Retention:
        return Retention(
            checkpoints=self.keep_checkpoints_seconds,
            sides=self.keep_side_snapshots_seconds,
            condemn=self.condemn_packs_after_seconds,
            delete=self.delete_packs_after_seconds,
        )

    @property
    def timing(self) -> Timing:
        return Timing(
            save_deadline=self.save_deadline_seconds, cancel_grace=self.cancel_grace_seconds
        )
