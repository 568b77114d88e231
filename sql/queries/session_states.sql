-- name: lock_streams
-- The one locking rule: a statement of its own, several in ascending order. What follows sees a fresh snapshot.
SELECT id, project_id, last_seq FROM streams WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE

-- name: lock_free_streams
-- As lock_streams, passing over what somebody else holds; at most $2, in the order given.
SELECT s.id, s.project_id, s.last_seq
FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (id, place)
JOIN streams s ON s.id = wanted.id
ORDER BY wanted.place
LIMIT $2
FOR UPDATE OF s SKIP LOCKED

-- name: sessions
SELECT s.id, s.project_id, s.agent, s.model, s.mode, s.provider_options::text AS provider_options,
       s.state::text AS life, s.epoch, s.head_snapshot_id, s.keep_warm, s.workspace::text AS workspace,
       EXISTS (SELECT FROM runs r WHERE r.session_id = s.id AND r.started_at IS NOT NULL)
         OR EXISTS (SELECT FROM branches b WHERE b.session_id = s.id) AS has_history
FROM sessions s WHERE s.id = ANY($1::uuid[])

-- name: workers
-- Current workers. Locked as well, in ascending order: heartbeats renew a lease without the stream's lock.
SELECT id, project_id, session_id, epoch, manager_id, state::text AS state, last_source_seq, pinned,
       stop_requested_at IS NOT NULL AS stopping, lease_until < clock_timestamp() AS lease_expired,
       token_hash, reason, steps_told, unsaved_since IS NOT NULL AS unsaved
FROM session_workers
WHERE session_id = ANY($1::uuid[]) AND released_at IS NULL AND superseded_at IS NULL
ORDER BY id FOR UPDATE

-- name: heads
SELECT id, project_id, session_id, task_id, agent, state::text AS state, line_no, attempt, failures,
       losses, max_failures, claim_id, worker_id, cancel_requested_at IS NOT NULL AS cancel_requested,
       started_at IS NOT NULL AS started, available_at <= clock_timestamp() AS available, user_id
FROM runs
WHERE session_id = ANY($1::uuid[]) AND state IN ('queued', 'claimed', 'running', 'waiting')

-- name: run
SELECT id, project_id, session_id, task_id, agent, state::text AS state, line_no, attempt, failures,
       losses, max_failures, claim_id, worker_id, cancel_requested_at IS NOT NULL AS cancel_requested,
       started_at IS NOT NULL AS started, available_at <= clock_timestamp() AS available, user_id
FROM runs WHERE id = $1

-- name: requests
SELECT id, project_id, session_id, run_id, attempt, ask_id, type, state::text AS state, title, tool,
       input, input_hash, options, form, option_id, option_kind, text, content, decided_by,
       delivered_epoch, delivered_attempt, answer_to
FROM human_loop_requests
WHERE run_id = ANY($1::uuid[]) AND state <> 'withdrawn'
ORDER BY id

-- name: request
SELECT id, project_id, session_id, run_id, attempt, ask_id, type, state::text AS state, title, tool,
       input, input_hash, options, form, option_id, option_kind, text, content, decided_by,
       delivered_epoch, delivered_attempt, answer_to
FROM human_loop_requests WHERE id = $1

-- name: taken
SELECT id FROM snapshots WHERE id = ANY($1::uuid[])
UNION ALL
SELECT id FROM human_loop_requests WHERE id = ANY($1::uuid[])

-- name: update_runs
-- Guarded by what was loaded: a row that differs is not touched, and the caller sees the count.
UPDATE runs SET
  state = new.state::run_state, attempt = new.attempt, failures = new.failures, losses = new.losses,
  claim_id = new.claim_id, worker_id = new.worker_id,
  available_at = CASE WHEN new.delay IS NULL THEN runs.available_at
                      ELSE clock_timestamp() + make_interval(secs => new.delay) END,
  cancel_requested_at = CASE WHEN new.cancel_requested
                             THEN coalesce(runs.cancel_requested_at, now()) END,
  cancel_deadline = CASE WHEN new.cancel_in IS NULL THEN runs.cancel_deadline
                         ELSE clock_timestamp() + make_interval(secs => new.cancel_in) END,
  started_at = CASE WHEN new.started THEN coalesce(runs.started_at, now()) END,
  waiting_since = CASE WHEN new.state = 'waiting' THEN coalesce(runs.waiting_since, now()) END,
  finished_at = CASE WHEN new.state IN ('succeeded', 'failed', 'blocked', 'canceled') THEN now() END
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::int[], $6::int[], $7::int[], $8::uuid[],
            $9::uuid[], $10::float8[], $11::bool[], $12::float8[], $13::bool[])
  AS new (id, old_state, old_attempt, state, attempt, failures, losses, claim_id, worker_id, delay,
          cancel_requested, cancel_in, started)
WHERE runs.id = new.id AND runs.state = new.old_state::run_state AND runs.attempt = new.old_attempt
RETURNING runs.id

-- name: end_runs
UPDATE run_payloads SET
  reason = new.reason, detail = new.detail, output = coalesce(new.output, run_payloads.output),
  snapshot_id = new.snapshot_id, unsaved = new.unsaved
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::bool[])
  AS new (run_id, reason, detail, output, snapshot_id, unsaved)
WHERE run_payloads.run_id = new.run_id

-- name: resume_runs
UPDATE run_payloads SET resume = new.resume
FROM unnest($1::uuid[], $2::text[]) AS new (run_id, resume)
WHERE run_payloads.run_id = new.run_id

-- name: insert_runs
INSERT INTO runs (id, project_id, session_id, task_id, agent, state, line_no, priority, max_failures, user_id)
SELECT id, project_id, session_id, task_id, agent, state::run_state, line_no, priority, max_failures, user_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[],
            $8::smallint[], $9::int[], $10::uuid[])
  AS new (id, project_id, session_id, task_id, agent, state, line_no, priority, max_failures, user_id)

-- name: insert_run_payload
INSERT INTO run_payloads (run_id, project_id, prompt, options, retry_of, traceparent, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: insert_follow_ups
-- Runs that go on from where another one asked, with its priority.
INSERT INTO runs (id, project_id, session_id, task_id, agent, state, line_no, priority, max_failures, user_id)
SELECT new.id, new.project_id, new.session_id, new.task_id, new.agent, new.state::run_state,
       new.line_no, asking.priority, new.max_failures, asking.user_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[],
            $8::int[], $9::uuid[])
  AS new (id, project_id, session_id, task_id, agent, state, line_no, max_failures, asked_by)
JOIN runs asking ON asking.id = new.asked_by

-- name: insert_follow_up_payloads
-- And with its options.
INSERT INTO run_payloads (run_id, project_id, prompt, options, traceparent, created_by)
SELECT new.run_id, asking.project_id, new.prompt, asking.options, new.traceparent, new.created_by
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[])
  AS new (run_id, prompt, traceparent, created_by, asked_by)
JOIN run_payloads asking ON asking.run_id = new.asked_by

-- name: promote
-- Only a line's head leaves `pending`: the first that stands, where nobody stands before it.
UPDATE runs SET state = 'queued', available_at = clock_timestamp()
FROM (
  SELECT DISTINCT ON (behind.session_id) behind.id
  FROM runs behind
  WHERE behind.session_id = ANY($1::uuid[]) AND behind.state = 'pending'
    AND NOT EXISTS (SELECT FROM runs head WHERE head.session_id = behind.session_id
                    AND head.state IN ('queued', 'claimed', 'running', 'waiting'))
  ORDER BY behind.session_id, behind.line_no
) AS next
WHERE runs.id = next.id AND runs.state = 'pending'
RETURNING runs.id, runs.session_id, runs.task_id, runs.agent, runs.attempt

-- name: insert_workers
INSERT INTO session_workers
  (id, project_id, session_id, epoch, manager_id, state, token_hash, limits, lease_until, user_id)
SELECT id, project_id, session_id, epoch, manager_id, state::worker_state, token_hash, limits::jsonb,
       clock_timestamp() + make_interval(secs => lease), user_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::text[], $7::text[],
            $8::text[], $9::float8[], $10::uuid[])
  AS new (id, project_id, session_id, epoch, manager_id, state, token_hash, limits, lease, user_id)

-- name: update_workers
-- Guarded: what ended stays ended.
UPDATE session_workers SET
  state = new.state::worker_state, last_source_seq = new.last_source_seq, pinned = new.pinned,
  stop_requested_at = CASE WHEN new.stopping THEN coalesce(stop_requested_at, now()) END,
  released_at = CASE WHEN new.released THEN now() END,
  superseded_at = CASE WHEN new.superseded THEN now() END,
  remove_requested_at = CASE WHEN new.remove_requested THEN coalesce(remove_requested_at, now())
                             ELSE remove_requested_at END,
  reason = new.reason, steps_told = new.steps_told,
  unsaved_since = CASE WHEN new.unsaved AND new.saved THEN clock_timestamp()
                       WHEN new.unsaved THEN coalesce(unsaved_since, clock_timestamp()) END
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bool[], $5::bool[], $6::bool[], $7::bool[],
            $8::bool[], $9::text[], $10::text[], $11::bool[], $12::bool[])
  AS new (id, state, last_source_seq, pinned, stopping, released, superseded, remove_requested, reason,
          steps_told, unsaved, saved)
WHERE session_workers.id = new.id AND released_at IS NULL AND superseded_at IS NULL
RETURNING session_workers.id

-- name: update_sessions
UPDATE sessions SET epoch = new.epoch, head_snapshot_id = new.head_snapshot_id, updated_at = now()
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS new (id, epoch, head_snapshot_id)
WHERE sessions.id = new.id

-- name: upsert_requests
-- Guarded: an id that another run's request took meanwhile changes nothing, and the caller sees the count.
INSERT INTO human_loop_requests
  (id, project_id, session_id, run_id, attempt, ask_id, type, state, title, tool, input, input_hash,
   options, form, option_id, option_kind, text, content, decided_by, decided_at, delivered_epoch,
   delivered_attempt, answer_to, delivered_at, deadline)
SELECT id, project_id, session_id, run_id, attempt, ask_id, type, state::request_state, title, tool,
       input, input_hash, options, form, option_id, option_kind, text, content, decided_by,
       CASE WHEN decided_by IS NOT NULL THEN now() END, delivered_epoch, delivered_attempt,
       answer_to, CASE WHEN delivered_epoch IS NOT NULL THEN now() END,
       now() + make_interval(secs => $23::float8)
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::uuid[], $7::text[],
            $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
            $15::text[], $16::text[], $17::text[], $18::text[], $19::uuid[], $20::bigint[],
            $21::int[], $22::text[])
  AS new (id, project_id, session_id, run_id, attempt, ask_id, type, state, title, tool, input,
          input_hash, options, form, option_id, option_kind, text, content, decided_by,
          delivered_epoch, delivered_attempt, answer_to)
ON CONFLICT (id) DO UPDATE SET
  attempt = excluded.attempt, ask_id = excluded.ask_id, state = excluded.state,
  option_id = excluded.option_id, option_kind = excluded.option_kind, text = excluded.text,
  content = excluded.content, decided_by = excluded.decided_by,
  decided_at = coalesce(human_loop_requests.decided_at, excluded.decided_at),
  delivered_epoch = excluded.delivered_epoch, delivered_attempt = excluded.delivered_attempt,
  delivered_at = coalesce(human_loop_requests.delivered_at, excluded.delivered_at),
  answer_to = excluded.answer_to
WHERE human_loop_requests.run_id = excluded.run_id
RETURNING human_loop_requests.id

-- name: insert_commands
INSERT INTO commands (id, project_id, session_id, worker_id, type, payload)
SELECT id, project_id, session_id, worker_id, type, payload
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[])
  WITH ORDINALITY AS new (id, project_id, session_id, worker_id, type, payload, place)
ORDER BY place

-- name: insert_snapshots
INSERT INTO snapshots
  (id, project_id, session_id, run_id, attempt, epoch, source_seq, type, parent, manifest_key,
   manifest_sha256, files, bytes, new_bytes, added, changed, removed, seq)
SELECT id, project_id, session_id, run_id, attempt, epoch, source_seq, type::snapshot_kind, parent,
       manifest_key, manifest_sha256, files, bytes, new_bytes, added, changed, removed, seq
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::bigint[], $7::bigint[],
            $8::text[], $9::uuid[], $10::text[], $11::text[], $12::bigint[], $13::bigint[],
            $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[])
  AS new (id, project_id, session_id, run_id, attempt, epoch, source_seq, type, parent,
          manifest_key, manifest_sha256, files, bytes, new_bytes, added, changed, removed, seq)

-- name: upsert_todos
INSERT INTO todos (run_id, project_id, session_id, seq, entries)
SELECT run_id, project_id, session_id, seq, entries
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[])
  AS new (run_id, project_id, session_id, seq, entries)
ON CONFLICT (run_id) DO UPDATE SET seq = excluded.seq, entries = excluded.entries

-- name: upsert_usage
INSERT INTO usage
  (id, project_id, session_id, run_id, attempt, source, model, input_tokens, output_tokens,
   cached_tokens, thought_tokens, cost_usd)
SELECT id, project_id, session_id, run_id, attempt, source, model, input_tokens, output_tokens,
       cached_tokens, thought_tokens, cost_usd
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::text[],
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::float8[])
  AS new (id, project_id, session_id, run_id, attempt, source, model, input_tokens, output_tokens,
          cached_tokens, thought_tokens, cost_usd)
ON CONFLICT (run_id, attempt, source, model) DO UPDATE SET
  input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
  cached_tokens = excluded.cached_tokens, thought_tokens = excluded.thought_tokens,
  cost_usd = excluded.cost_usd

-- name: append_events
INSERT INTO events
  (stream_id, seq, project_id, session_id, run_id, attempt, epoch, kind, payload, trace_id)
SELECT stream_id, seq, project_id, session_id, run_id, attempt, epoch, kind, payload, trace_id
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::int[], $7::bigint[],
            $8::text[], $9::text[], $10::text[])
  AS new (stream_id, seq, project_id, session_id, run_id, attempt, epoch, kind, payload, trace_id)

-- name: advance_streams
UPDATE streams SET last_seq = new.last_seq
FROM unnest($1::uuid[], $2::bigint[]) AS new (id, last_seq)
WHERE streams.id = new.id

-- name: insert_outbox
INSERT INTO outbox (project_id, session_id, run_id, attempt, type, payload, trace_id)
SELECT project_id, session_id, run_id, attempt, type, payload, trace_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::text[])
  WITH ORDINALITY AS new (project_id, session_id, run_id, attempt, type, payload, trace_id, place)
ORDER BY place
