CREATE TYPE public.job_kind AS ENUM (
    'cleanup_idle',
    'cleanup_stopped',
    'reconcile_runs',
    'reconcile_sync'
);
CREATE TYPE public.member_role AS ENUM (
    'owner',
    'member',
    'viewer'
);
CREATE TYPE public.request_state AS ENUM (
    'pending',
    'answered',
    'delivered',
    'withdrawn'
);
CREATE TYPE public.run_state AS ENUM (
    'pending',
    'queued',
    'claimed',
    'running',
    'waiting',
    'succeeded',
    'failed',
    'blocked',
    'canceled'
);
CREATE TYPE public.session_state AS ENUM (
    'active',
    'archived'
);
CREATE TYPE public.snapshot_kind AS ENUM (
    'acknowledged',
    'checkpoint',
    'side'
);
CREATE TYPE public.stream_kind AS ENUM (
    'session',
    'project'
);
CREATE TYPE public.task_state AS ENUM (
    'open',
    'running',
    'waiting',
    'review',
    'done',
    'failed',
    'blocked',
    'canceled'
);
CREATE TYPE public.worker_state AS ENUM (
    'creating',
    'ready',
    'busy',
    'idle',
    'stopping',
    'stopped',
    'removed',
    'failed'
);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.api_keys (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    project_id uuid,
    name text NOT NULL,
    key_hash text NOT NULL,
    rate_limit integer,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT api_keys_key_hash_check CHECK ((key_hash ~ '^[0-9a-f]{64}$'::text))
);
CREATE TABLE public.apps (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    agent text NOT NULL,
    limits jsonb DEFAULT '{}'::jsonb NOT NULL,
    tool_policy jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    worker_limits jsonb DEFAULT '{}'::jsonb NOT NULL,
    egress jsonb DEFAULT '{}'::jsonb NOT NULL,
    container jsonb DEFAULT '{}'::jsonb NOT NULL,
    runtime_manifest jsonb DEFAULT '{}'::jsonb NOT NULL
);
CREATE TABLE public.audit (
    id uuid NOT NULL,
    project_id uuid,
    actor uuid,
    action text NOT NULL,
    target text DEFAULT ''::text NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.branches (
    session_id uuid NOT NULL,
    begins_at bigint NOT NULL,
    project_id uuid NOT NULL,
    from_session_id uuid NOT NULL,
    from_seq bigint NOT NULL,
    from_line bigint NOT NULL,
    from_until bigint,
    snapshot_id uuid NOT NULL,
    run_id uuid,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.collections (
    one boolean DEFAULT true NOT NULL,
    packs_known_at timestamp with time zone,
    looked_at text DEFAULT ''::text NOT NULL,
    listed text DEFAULT ''::text NOT NULL,
    holder uuid,
    held_until timestamp with time zone,
    CONSTRAINT collections_one_check CHECK (one)
);
CREATE TABLE public.commands (
    id uuid NOT NULL,
    "position" bigint NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    worker_id uuid NOT NULL,
    type text NOT NULL,
    payload text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    done_at timestamp with time zone
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='200', autovacuum_analyze_scale_factor='0.05');
ALTER TABLE public.commands ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.commands_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.default_limits (
    subject text NOT NULL,
    max_workers integer,
    max_queued integer,
    runs_per_hour integer,
    CONSTRAINT default_limits_subject_check CHECK ((subject = ANY (ARRAY['project'::text, 'user'::text])))
);
CREATE TABLE public.events (
    stream_id uuid NOT NULL,
    seq bigint NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid,
    run_id uuid,
    attempt integer,
    epoch bigint,
    kind text NOT NULL,
    payload text NOT NULL,
    trace_id text DEFAULT ''::text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.git_credentials (
    project_id uuid NOT NULL,
    host text NOT NULL,
    username text NOT NULL,
    sealed_token bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.human_loop_requests (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    run_id uuid NOT NULL,
    attempt integer NOT NULL,
    ask_id uuid NOT NULL,
    type text NOT NULL,
    state public.request_state DEFAULT 'pending'::public.request_state NOT NULL,
    title text DEFAULT ''::text NOT NULL,
    tool text DEFAULT ''::text NOT NULL,
    input text DEFAULT 'null'::text NOT NULL,
    input_hash text NOT NULL,
    options text DEFAULT '[]'::text NOT NULL,
    form text DEFAULT 'null'::text NOT NULL,
    deadline timestamp with time zone,
    overdue_at timestamp with time zone,
    option_id text,
    option_kind text,
    text text,
    content text,
    decided_by uuid,
    decided_at timestamp with time zone,
    delivered_epoch bigint,
    delivered_attempt integer,
    delivered_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    answer_to text DEFAULT 'run'::text NOT NULL,
    CONSTRAINT human_loop_requests_answer_to_check CHECK ((answer_to = ANY (ARRAY['run'::text, 'tool'::text, 'message'::text]))),
    CONSTRAINT human_loop_requests_type_check CHECK ((type = ANY (ARRAY['permission'::text, 'question'::text])))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='200', autovacuum_analyze_scale_factor='0.05');
CREATE TABLE public.idempotency_keys (
    user_id uuid NOT NULL,
    key text NOT NULL,
    request_hash text NOT NULL,
    status smallint NOT NULL,
    answer text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.job_members (
    id bigint NOT NULL,
    project_id uuid NOT NULL,
    job_id uuid NOT NULL,
    session_id uuid NOT NULL,
    worker_id uuid,
    outcome text DEFAULT 'pending'::text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    acted_at timestamp with time zone,
    ended_at timestamp with time zone
);
ALTER TABLE public.job_members ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.job_members_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.jobs (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    kind public.job_kind NOT NULL,
    counts jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    deadline timestamp with time zone NOT NULL,
    finished_at timestamp with time zone
);
CREATE TABLE public.loop_ticks (
    name text NOT NULL,
    ticked_at timestamp with time zone DEFAULT now() NOT NULL,
    resume_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.managers (
    id uuid NOT NULL,
    name text NOT NULL,
    backend text NOT NULL,
    incarnation bigint DEFAULT 1 NOT NULL,
    max_workers integer DEFAULT 0 NOT NULL,
    agents jsonb DEFAULT '{}'::jsonb NOT NULL,
    draining boolean DEFAULT false NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    url text DEFAULT ''::text NOT NULL,
    isolation jsonb DEFAULT '{}'::jsonb NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    wanted_workers integer,
    wanted_warm integer,
    wanted_draining boolean DEFAULT false NOT NULL,
    containers jsonb DEFAULT '{}'::jsonb NOT NULL,
    preflight jsonb DEFAULT '[]'::jsonb NOT NULL
);
CREATE TABLE public.memberships (
    project_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role public.member_role NOT NULL
);
CREATE TABLE public.model_calls (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    run_id uuid,
    attempt integer,
    upstream text NOT NULL,
    path text NOT NULL,
    model text NOT NULL,
    state text DEFAULT 'open'::text NOT NULL,
    status smallint,
    source text,
    input_tokens bigint DEFAULT 0 NOT NULL,
    output_tokens bigint DEFAULT 0 NOT NULL,
    cached_tokens bigint DEFAULT 0 NOT NULL,
    thought_tokens bigint DEFAULT 0 NOT NULL,
    provider_id text DEFAULT ''::text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    deadline timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT model_calls_ended_check CHECK (((state = 'open'::text) = (ended_at IS NULL))),
    CONSTRAINT model_calls_source_check CHECK ((source = ANY (ARRAY['metered'::text, 'estimated'::text]))),
    CONSTRAINT model_calls_state_check CHECK ((state = ANY (ARRAY['open'::text, 'completed'::text, 'refused'::text, 'cut'::text])))
);
CREATE TABLE public.model_upstreams (
    project_id uuid NOT NULL,
    name text NOT NULL,
    url text NOT NULL,
    formats text[] NOT NULL,
    models text[] NOT NULL,
    auth text NOT NULL,
    sealed_key bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT model_upstreams_auth_check CHECK ((auth = ANY (ARRAY['bearer'::text, 'x-api-key'::text])))
);
CREATE TABLE public.outbox (
    id bigint NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid,
    run_id uuid,
    attempt integer,
    type text NOT NULL,
    payload text NOT NULL,
    trace_id text DEFAULT ''::text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT outbox_type_check CHECK ((type = ANY (ARRAY['event'::text, 'task'::text])))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='200', autovacuum_analyze_scale_factor='0.05');
ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.packs (
    key text NOT NULL COLLATE pg_catalog."C",
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    purpose text NOT NULL,
    length bigint,
    uploaded_at timestamp with time zone DEFAULT now() NOT NULL,
    condemned_at timestamp with time zone,
    gone_at timestamp with time zone,
    deleted_at timestamp with time zone,
    CONSTRAINT packs_purpose_check CHECK ((purpose = ANY (ARRAY['pack'::text, 'manifest'::text, 'spool'::text])))
);
CREATE TABLE public.project_file_rules (
    project_id uuid NOT NULL,
    prefix text NOT NULL COLLATE pg_catalog."C",
    read public.member_role NOT NULL,
    write public.member_role NOT NULL
);
CREATE TABLE public.project_files (
    project_id uuid NOT NULL,
    path text NOT NULL COLLATE pg_catalog."C",
    parent text NOT NULL COLLATE pg_catalog."C",
    sha256 text,
    size bigint DEFAULT 0 NOT NULL,
    executable boolean DEFAULT false NOT NULL,
    updated_by uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.project_objects (
    project_id uuid NOT NULL,
    sha256 text NOT NULL,
    key text NOT NULL,
    length bigint NOT NULL,
    named_at timestamp with time zone DEFAULT now() NOT NULL,
    stored_at timestamp with time zone,
    condemned_at timestamp with time zone,
    doomed boolean DEFAULT false NOT NULL,
    CONSTRAINT project_objects_sha256_check CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text))
);
CREATE TABLE public.projects (
    id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    egress jsonb DEFAULT '{}'::jsonb NOT NULL,
    max_workers integer,
    max_queued integer,
    runs_per_hour integer
);
CREATE TABLE public.run_payloads (
    run_id uuid NOT NULL,
    project_id uuid NOT NULL,
    prompt text NOT NULL,
    options text NOT NULL,
    output text DEFAULT ''::text NOT NULL,
    reason text,
    detail text DEFAULT ''::text NOT NULL,
    snapshot_id uuid,
    unsaved boolean DEFAULT false NOT NULL,
    resume text,
    retry_of uuid,
    traceparent text DEFAULT ''::text NOT NULL,
    created_by uuid
);
CREATE TABLE public.run_starts (
    subject_id uuid NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    run_id uuid NOT NULL
);
CREATE TABLE public.runs (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    task_id uuid,
    agent text NOT NULL,
    state public.run_state NOT NULL,
    line_no bigint DEFAULT 0 NOT NULL,
    priority smallint DEFAULT 5 NOT NULL,
    attempt integer DEFAULT 1 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    losses integer DEFAULT 0 NOT NULL,
    max_failures integer DEFAULT 3 NOT NULL,
    available_at timestamp with time zone DEFAULT now() NOT NULL,
    claim_id uuid,
    worker_id uuid,
    cancel_requested_at timestamp with time zone,
    cancel_deadline timestamp with time zone,
    started_at timestamp with time zone,
    waiting_since timestamp with time zone,
    finished_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    user_id uuid
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='200', autovacuum_analyze_scale_factor='0.05');
CREATE TABLE public.session_workers (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    epoch bigint NOT NULL,
    manager_id uuid NOT NULL,
    state public.worker_state DEFAULT 'creating'::public.worker_state NOT NULL,
    token_hash text NOT NULL,
    former_token_hash text,
    lease_until timestamp with time zone NOT NULL,
    last_source_seq bigint DEFAULT 0 NOT NULL,
    pinned boolean DEFAULT false NOT NULL,
    stop_requested_at timestamp with time zone,
    released_at timestamp with time zone,
    superseded_at timestamp with time zone,
    remove_requested_at timestamp with time zone,
    removed_at timestamp with time zone,
    reason text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    limits jsonb DEFAULT '{}'::jsonb NOT NULL,
    steps_told text DEFAULT ''::text NOT NULL,
    idle_since timestamp with time zone,
    unsaved_since timestamp with time zone,
    told_denials uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    user_id uuid,
    image text DEFAULT ''::text NOT NULL,
    disk text,
    CONSTRAINT session_workers_disk_check CHECK ((disk = ANY (ARRAY['quota'::text, 'image'::text, 'tmpfs'::text, 'watch'::text])))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='200', autovacuum_analyze_scale_factor='0.05');
CREATE TABLE public.sessions (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    title text DEFAULT ''::text NOT NULL,
    agent text NOT NULL,
    app_id uuid,
    model text,
    mode text,
    provider_options jsonb DEFAULT '{}'::jsonb NOT NULL,
    state public.session_state DEFAULT 'active'::public.session_state NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    head_snapshot_id uuid,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    worker_limits jsonb DEFAULT '{}'::jsonb NOT NULL,
    keep_warm boolean DEFAULT false NOT NULL,
    workspace jsonb DEFAULT '{}'::jsonb NOT NULL
);
CREATE TABLE public.snapshot_packs (
    snapshot_id uuid NOT NULL,
    pack_key text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.snapshots (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    run_id uuid,
    attempt integer,
    epoch bigint NOT NULL,
    source_seq bigint NOT NULL,
    type public.snapshot_kind NOT NULL,
    parent uuid,
    manifest_key text NOT NULL,
    manifest_sha256 text NOT NULL,
    files bigint DEFAULT 0 NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    new_bytes bigint DEFAULT 0 NOT NULL,
    spool_key text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    added bigint DEFAULT 0 NOT NULL,
    changed bigint DEFAULT 0 NOT NULL,
    removed bigint DEFAULT 0 NOT NULL,
    seq bigint,
    packs_known boolean DEFAULT false NOT NULL,
    damaged_at timestamp with time zone,
    damage text DEFAULT ''::text NOT NULL
);
CREATE TABLE public.streams (
    id uuid NOT NULL,
    kind public.stream_kind NOT NULL,
    project_id uuid NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    first_seq bigint DEFAULT 1 NOT NULL
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='200', autovacuum_analyze_scale_factor='0.05');
CREATE TABLE public.task_dependencies (
    project_id uuid NOT NULL,
    task_id uuid NOT NULL,
    depends_on uuid NOT NULL,
    CONSTRAINT task_dependencies_itself_check CHECK ((task_id <> depends_on))
);
CREATE TABLE public.tasks (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    title text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    state public.task_state DEFAULT 'open'::public.task_state NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    session_id uuid,
    agent text,
    app_id uuid,
    last_run_id uuid,
    last_reason text,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    summary text DEFAULT ''::text NOT NULL
);
CREATE TABLE public.tickets (
    token_hash text NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    worker_id uuid NOT NULL,
    epoch bigint NOT NULL,
    manager_id uuid NOT NULL,
    audience text NOT NULL,
    issued_to uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    redeemed_at timestamp with time zone,
    CONSTRAINT tickets_token_hash_check CHECK ((token_hash ~ '^[0-9a-f]{64}$'::text))
);
CREATE TABLE public.todos (
    run_id uuid NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    seq bigint NOT NULL,
    entries text NOT NULL
);
CREATE TABLE public.tool_calls (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    run_id uuid NOT NULL,
    tool text NOT NULL,
    key text NOT NULL,
    words text DEFAULT ''::text NOT NULL,
    attempt integer NOT NULL,
    epoch bigint NOT NULL,
    worker_id uuid,
    called_by uuid,
    request_id uuid,
    answer text,
    calls integer DEFAULT 1 NOT NULL,
    said_at timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT tool_calls_tool_check CHECK ((tool = ANY (ARRAY['finish_task'::text, 'block_task'::text, 'request_input'::text, 'ask_user'::text])))
);
CREATE TABLE public.usage (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    run_id uuid NOT NULL,
    attempt integer NOT NULL,
    source text NOT NULL,
    model text DEFAULT ''::text NOT NULL,
    input_tokens bigint DEFAULT 0 NOT NULL,
    output_tokens bigint DEFAULT 0 NOT NULL,
    cached_tokens bigint DEFAULT 0 NOT NULL,
    thought_tokens bigint DEFAULT 0 NOT NULL,
    cost_usd double precision,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT usage_source_check CHECK ((source = ANY (ARRAY['reported'::text, 'metered'::text, 'estimated'::text])))
);
CREATE TABLE public.users (
    id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    administrator boolean DEFAULT false NOT NULL,
    max_workers integer,
    max_queued integer,
    runs_per_hour integer
);
CREATE TABLE public.verification_findings (
    id uuid NOT NULL,
    verification_id uuid NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    snapshot_id uuid NOT NULL,
    path text DEFAULT ''::text NOT NULL,
    object text NOT NULL,
    place bigint DEFAULT 0 NOT NULL,
    length bigint DEFAULT 0 NOT NULL,
    found text NOT NULL
);
CREATE TABLE public.verification_packs (
    verification_id uuid NOT NULL,
    pack_key text NOT NULL COLLATE pg_catalog."C",
    outcome text DEFAULT 'pending'::text NOT NULL
);
CREATE TABLE public.verification_snapshots (
    verification_id uuid NOT NULL,
    snapshot_id uuid NOT NULL,
    project_id uuid NOT NULL,
    session_id uuid NOT NULL,
    outcome text DEFAULT 'pending'::text NOT NULL,
    findings bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.verifications (
    id uuid NOT NULL,
    scope text NOT NULL,
    project_id uuid,
    session_id uuid,
    marks boolean NOT NULL,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    holder uuid,
    held_until timestamp with time zone,
    bytes_read bigint DEFAULT 0 NOT NULL
);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_project_id_id_key UNIQUE (project_id, id);
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_project_id_name_key UNIQUE (project_id, name);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.branches
    ADD CONSTRAINT branches_pkey PRIMARY KEY (session_id, begins_at);
ALTER TABLE ONLY public.collections
    ADD CONSTRAINT collections_pkey PRIMARY KEY (one);
ALTER TABLE ONLY public.commands
    ADD CONSTRAINT commands_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.default_limits
    ADD CONSTRAINT default_limits_pkey PRIMARY KEY (subject);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (stream_id, seq);
ALTER TABLE ONLY public.git_credentials
    ADD CONSTRAINT git_credentials_pkey PRIMARY KEY (project_id, host);
ALTER TABLE ONLY public.human_loop_requests
    ADD CONSTRAINT human_loop_requests_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, key);
ALTER TABLE ONLY public.job_members
    ADD CONSTRAINT job_members_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_project_id_id_key UNIQUE (project_id, id);
ALTER TABLE ONLY public.loop_ticks
    ADD CONSTRAINT loop_ticks_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.managers
    ADD CONSTRAINT managers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (project_id, user_id);
ALTER TABLE ONLY public.model_calls
    ADD CONSTRAINT model_calls_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.model_upstreams
    ADD CONSTRAINT model_upstreams_pkey PRIMARY KEY (project_id, name);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.packs
    ADD CONSTRAINT packs_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.project_file_rules
    ADD CONSTRAINT project_file_rules_pkey PRIMARY KEY (project_id, prefix);
ALTER TABLE ONLY public.project_files
    ADD CONSTRAINT project_files_pkey PRIMARY KEY (project_id, path);
ALTER TABLE ONLY public.project_objects
    ADD CONSTRAINT project_objects_key_key UNIQUE (key);
ALTER TABLE ONLY public.project_objects
    ADD CONSTRAINT project_objects_pkey PRIMARY KEY (project_id, sha256);
ALTER TABLE ONLY public.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.run_payloads
    ADD CONSTRAINT run_payloads_pkey PRIMARY KEY (run_id);
ALTER TABLE ONLY public.run_starts
    ADD CONSTRAINT run_starts_pkey PRIMARY KEY (subject_id, at, run_id);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_project_id_id_key UNIQUE (project_id, id);
ALTER TABLE ONLY public.session_workers
    ADD CONSTRAINT session_workers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.session_workers
    ADD CONSTRAINT session_workers_project_id_id_key UNIQUE (project_id, id);
ALTER TABLE ONLY public.session_workers
    ADD CONSTRAINT session_workers_session_id_epoch_key UNIQUE (session_id, epoch);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_project_id_id_key UNIQUE (project_id, id);
ALTER TABLE ONLY public.snapshot_packs
    ADD CONSTRAINT snapshot_packs_pkey PRIMARY KEY (snapshot_id, pack_key);
ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.streams
    ADD CONSTRAINT streams_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.task_dependencies
    ADD CONSTRAINT task_dependencies_pkey PRIMARY KEY (task_id, depends_on);
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_project_id_id_key UNIQUE (project_id, id);
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_pkey PRIMARY KEY (token_hash);
ALTER TABLE ONLY public.todos
    ADD CONSTRAINT todos_pkey PRIMARY KEY (run_id);
ALTER TABLE ONLY public.tool_calls
    ADD CONSTRAINT tool_calls_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tool_calls
    ADD CONSTRAINT tool_calls_run_id_tool_key_key UNIQUE (run_id, tool, key);
ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_run_id_attempt_source_model_key UNIQUE (run_id, attempt, source, model);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.verification_findings
    ADD CONSTRAINT verification_findings_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.verification_packs
    ADD CONSTRAINT verification_packs_pkey PRIMARY KEY (verification_id, pack_key);
ALTER TABLE ONLY public.verification_snapshots
    ADD CONSTRAINT verification_snapshots_pkey PRIMARY KEY (verification_id, snapshot_id);
ALTER TABLE ONLY public.verifications
    ADD CONSTRAINT verifications_pkey PRIMARY KEY (id);
CREATE INDEX apps_container_idx ON public.apps USING btree (id) WHERE (container <> '{}'::jsonb);
CREATE INDEX audit_installation_idx ON public.audit USING btree (id) WHERE (project_id IS NULL);
CREATE INDEX audit_project_id_id_idx ON public.audit USING btree (project_id, id);
CREATE INDEX commands_open_idx ON public.commands USING btree (worker_id, "position") WHERE (done_at IS NULL);
CREATE INDEX commands_start_idx ON public.commands USING btree (worker_id, done_at) WHERE (type = 'start'::text);
CREATE INDEX commands_sync_idx ON public.commands USING btree (worker_id, created_at) WHERE (type = 'sync'::text);
CREATE INDEX events_run_idx ON public.events USING btree (stream_id, run_id, seq);
CREATE INDEX human_loop_requests_deadline_idx ON public.human_loop_requests USING btree (deadline) WHERE ((state = 'pending'::public.request_state) AND (overdue_at IS NULL));
CREATE INDEX human_loop_requests_project_idx ON public.human_loop_requests USING btree (project_id, state, id);
CREATE INDEX human_loop_requests_run_idx ON public.human_loop_requests USING btree (run_id, state);
CREATE INDEX job_members_job_idx ON public.job_members USING btree (job_id, outcome);
CREATE INDEX job_members_open_idx ON public.job_members USING btree (job_id, id) WHERE (ended_at IS NULL);
CREATE INDEX jobs_finished_idx ON public.jobs USING btree (finished_at) WHERE (finished_at IS NOT NULL);
CREATE INDEX jobs_open_idx ON public.jobs USING btree (id) WHERE (finished_at IS NULL);
CREATE INDEX memberships_user_id_idx ON public.memberships USING btree (user_id);
CREATE INDEX model_calls_open_idx ON public.model_calls USING btree (deadline) WHERE (state = 'open'::text);
CREATE INDEX model_calls_project_idx ON public.model_calls USING btree (project_id, id);
CREATE INDEX model_calls_run_idx ON public.model_calls USING btree (run_id, id) WHERE (run_id IS NOT NULL);
CREATE INDEX model_calls_session_idx ON public.model_calls USING btree (session_id, id);
CREATE INDEX outbox_project_id_id_idx ON public.outbox USING btree (project_id, id);
CREATE INDEX packs_condemned_idx ON public.packs USING btree (condemned_at) WHERE ((condemned_at IS NOT NULL) AND (gone_at IS NULL));
CREATE INDEX packs_gone_idx ON public.packs USING btree (gone_at) WHERE (gone_at IS NOT NULL);
CREATE INDEX project_files_project_id_parent_path_idx ON public.project_files USING btree (project_id, parent, path);
CREATE INDEX project_files_project_id_sha256_idx ON public.project_files USING btree (project_id, sha256);
CREATE INDEX runs_cancel_deadline_idx ON public.runs USING btree (cancel_deadline) WHERE ((cancel_deadline IS NOT NULL) AND (finished_at IS NULL));
CREATE INDEX runs_claim_id_idx ON public.runs USING btree (claim_id) WHERE (claim_id IS NOT NULL);
CREATE INDEX runs_live_idx ON public.runs USING btree (project_id) WHERE (state = ANY (ARRAY['claimed'::public.run_state, 'running'::public.run_state, 'waiting'::public.run_state]));
CREATE UNIQUE INDEX runs_one_head ON public.runs USING btree (session_id) WHERE (state = ANY (ARRAY['queued'::public.run_state, 'claimed'::public.run_state, 'running'::public.run_state, 'waiting'::public.run_state]));
CREATE INDEX runs_pending_idx ON public.runs USING btree (session_id, line_no) WHERE (state = 'pending'::public.run_state);
CREATE INDEX runs_pending_project_idx ON public.runs USING btree (project_id) WHERE (state = 'pending'::public.run_state);
CREATE INDEX runs_project_idx ON public.runs USING btree (project_id, id);
CREATE INDEX runs_queued_idx ON public.runs USING btree (project_id, priority, available_at, id) WHERE (state = 'queued'::public.run_state);
CREATE INDEX runs_session_idx ON public.runs USING btree (session_id, id);
CREATE INDEX runs_task_idx ON public.runs USING btree (task_id) WHERE (task_id IS NOT NULL);
CREATE INDEX runs_user_line_idx ON public.runs USING btree (user_id) WHERE (state = ANY (ARRAY['pending'::public.run_state, 'queued'::public.run_state]));
CREATE INDEX runs_waiting_idx ON public.runs USING btree (waiting_since) WHERE (state = 'waiting'::public.run_state);
CREATE INDEX session_workers_former_token_idx ON public.session_workers USING btree (former_token_hash) WHERE (former_token_hash IS NOT NULL);
CREATE INDEX session_workers_lease_idx ON public.session_workers USING btree (lease_until) WHERE ((released_at IS NULL) AND (superseded_at IS NULL));
CREATE INDEX session_workers_manager_idx ON public.session_workers USING btree (manager_id) WHERE (removed_at IS NULL);
CREATE UNIQUE INDEX session_workers_one_current ON public.session_workers USING btree (session_id) WHERE ((released_at IS NULL) AND (superseded_at IS NULL));
CREATE INDEX session_workers_project_idx ON public.session_workers USING btree (project_id) WHERE ((released_at IS NULL) AND (superseded_at IS NULL));
CREATE UNIQUE INDEX session_workers_token_idx ON public.session_workers USING btree (token_hash);
CREATE INDEX session_workers_unsaved_idx ON public.session_workers USING btree (unsaved_since) WHERE ((unsaved_since IS NOT NULL) AND (released_at IS NULL) AND (superseded_at IS NULL));
CREATE INDEX session_workers_user_idx ON public.session_workers USING btree (user_id) WHERE ((released_at IS NULL) AND (superseded_at IS NULL));
CREATE INDEX snapshot_packs_pack_key_idx ON public.snapshot_packs USING btree (pack_key);
CREATE INDEX snapshots_passing_idx ON public.snapshots USING btree (created_at, id) WHERE (type <> 'acknowledged'::public.snapshot_kind);
CREATE INDEX snapshots_run_idx ON public.snapshots USING btree (run_id, epoch, attempt, source_seq);
CREATE INDEX snapshots_session_idx ON public.snapshots USING btree (session_id, id);
CREATE INDEX snapshots_unknown_idx ON public.snapshots USING btree (project_id, id) WHERE (NOT packs_known);
CREATE INDEX task_dependencies_depends_on_idx ON public.task_dependencies USING btree (depends_on);
CREATE INDEX tickets_expires_at_idx ON public.tickets USING btree (expires_at);
CREATE INDEX users_limited_idx ON public.users USING btree (id) WHERE (max_workers IS NOT NULL);
CREATE INDEX verification_findings_verification_id_id_idx ON public.verification_findings USING btree (verification_id, id);
CREATE INDEX verification_findings_verification_id_snapshot_id_idx ON public.verification_findings USING btree (verification_id, snapshot_id);
CREATE UNIQUE INDEX verifications_open_idx ON public.verifications USING btree (scope) WHERE (finished_at IS NULL);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.branches
    ADD CONSTRAINT branches_project_id_session_id_fkey FOREIGN KEY (project_id, session_id) REFERENCES public.sessions(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.commands
    ADD CONSTRAINT commands_project_id_worker_id_fkey FOREIGN KEY (project_id, worker_id) REFERENCES public.session_workers(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_stream_id_fkey FOREIGN KEY (stream_id) REFERENCES public.streams(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.git_credentials
    ADD CONSTRAINT git_credentials_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.human_loop_requests
    ADD CONSTRAINT human_loop_requests_project_id_run_id_fkey FOREIGN KEY (project_id, run_id) REFERENCES public.runs(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.human_loop_requests
    ADD CONSTRAINT human_loop_requests_project_id_session_id_fkey FOREIGN KEY (project_id, session_id) REFERENCES public.sessions(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.job_members
    ADD CONSTRAINT job_members_project_id_job_id_fkey FOREIGN KEY (project_id, job_id) REFERENCES public.jobs(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.job_members
    ADD CONSTRAINT job_members_project_id_session_id_fkey FOREIGN KEY (project_id, session_id) REFERENCES public.sessions(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.model_calls
    ADD CONSTRAINT model_calls_project_id_run_id_fkey FOREIGN KEY (project_id, run_id) REFERENCES public.runs(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.model_calls
    ADD CONSTRAINT model_calls_project_id_session_id_fkey FOREIGN KEY (project_id, session_id) REFERENCES public.sessions(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.model_upstreams
    ADD CONSTRAINT model_upstreams_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.project_file_rules
    ADD CONSTRAINT project_file_rules_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.project_files
    ADD CONSTRAINT project_files_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.project_files
    ADD CONSTRAINT project_files_project_id_sha256_fkey FOREIGN KEY (project_id, sha256) REFERENCES public.project_objects(project_id, sha256);
ALTER TABLE ONLY public.project_objects
    ADD CONSTRAINT project_objects_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.run_payloads
    ADD CONSTRAINT run_payloads_project_id_run_id_fkey FOREIGN KEY (project_id, run_id) REFERENCES public.runs(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_project_id_session_id_fkey FOREIGN KEY (project_id, session_id) REFERENCES public.sessions(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_project_id_task_id_fkey FOREIGN KEY (project_id, task_id) REFERENCES public.tasks(project_id, id);
ALTER TABLE ONLY public.session_workers
    ADD CONSTRAINT session_workers_manager_id_fkey FOREIGN KEY (manager_id) REFERENCES public.managers(id);
ALTER TABLE ONLY public.session_workers
    ADD CONSTRAINT session_workers_project_id_session_id_fkey FOREIGN KEY (project_id, session_id) REFERENCES public.sessions(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_id_fkey FOREIGN KEY (id) REFERENCES public.streams(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.apps(project_id, id);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.snapshot_packs
    ADD CONSTRAINT snapshot_packs_pack_key_fkey FOREIGN KEY (pack_key) REFERENCES public.packs(key);
ALTER TABLE ONLY public.snapshot_packs
    ADD CONSTRAINT snapshot_packs_snapshot_id_fkey FOREIGN KEY (snapshot_id) REFERENCES public.snapshots(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT snapshots_project_id_session_id_fkey FOREIGN KEY (project_id, session_id) REFERENCES public.sessions(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.streams
    ADD CONSTRAINT streams_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.task_dependencies
    ADD CONSTRAINT task_dependencies_project_id_depends_on_fkey FOREIGN KEY (project_id, depends_on) REFERENCES public.tasks(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.task_dependencies
    ADD CONSTRAINT task_dependencies_project_id_task_id_fkey FOREIGN KEY (project_id, task_id) REFERENCES public.tasks(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_project_id_app_id_fkey FOREIGN KEY (project_id, app_id) REFERENCES public.apps(project_id, id);
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_project_id_session_id_fkey FOREIGN KEY (project_id, session_id) REFERENCES public.sessions(project_id, id);
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_manager_id_fkey FOREIGN KEY (manager_id) REFERENCES public.managers(id);
ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_project_id_worker_id_fkey FOREIGN KEY (project_id, worker_id) REFERENCES public.session_workers(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.todos
    ADD CONSTRAINT todos_project_id_run_id_fkey FOREIGN KEY (project_id, run_id) REFERENCES public.runs(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tool_calls
    ADD CONSTRAINT tool_calls_project_id_run_id_fkey FOREIGN KEY (project_id, run_id) REFERENCES public.runs(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tool_calls
    ADD CONSTRAINT tool_calls_project_id_session_id_fkey FOREIGN KEY (project_id, session_id) REFERENCES public.sessions(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_project_id_run_id_fkey FOREIGN KEY (project_id, run_id) REFERENCES public.runs(project_id, id) ON DELETE CASCADE;
ALTER TABLE ONLY public.verification_findings
    ADD CONSTRAINT verification_findings_verification_id_fkey FOREIGN KEY (verification_id) REFERENCES public.verifications(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.verification_packs
    ADD CONSTRAINT verification_packs_verification_id_fkey FOREIGN KEY (verification_id) REFERENCES public.verifications(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.verification_snapshots
    ADD CONSTRAINT verification_snapshots_verification_id_fkey FOREIGN KEY (verification_id) REFERENCES public.verifications(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.verifications
    ADD CONSTRAINT verifications_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
