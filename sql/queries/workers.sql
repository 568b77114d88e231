-- name: register_manager
-- Every registration supersedes the former incarnation for manager calls.
INSERT INTO managers (id, name, backend, max_workers, agents, url, isolation, containers, preflight)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7::jsonb, $8::jsonb, $9::jsonb)
ON CONFLICT (id) DO UPDATE SET
  name = excluded.name, backend = excluded.backend, max_workers = excluded.max_workers,
  agents = excluded.agents, url = excluded.url, isolation = excluded.isolation, containers = excluded.containers,
  preflight = excluded.preflight, draining = false, incarnation = managers.incarnation + 1, last_seen_at = now()
RETURNING incarnation

-- name: incarnation
SELECT incarnation, draining OR wanted_draining AS draining, wanted_workers, wanted_warm, wanted_draining,
       containers::text AS containers,
       extract(epoch FROM clock_timestamp() - last_seen_at)::float8 AS silent_seconds
FROM managers WHERE id = $1

-- name: held_workers
-- How many current workers manager $1 has.
SELECT count(*)::int FROM session_workers
WHERE manager_id = $1 AND removed_at IS NULL AND released_at IS NULL AND superseded_at IS NULL

-- name: offers_agent
-- Can manager $1 run agent $2, by what it said when it registered?
SELECT coalesce(agents->>$2 = '', false) FROM managers WHERE id = $1

-- name: live_workers
-- The current workers of a manager. What else it still has, its heartbeat's verdicts tell.
SELECT w.id, w.session_id, w.project_id, w.epoch, w.limits::text AS limits,
       coalesce(nullif(a.egress, '{}'), o.egress)::text AS egress, a.container::text AS container
FROM session_workers w
JOIN sessions s ON s.id = w.session_id
JOIN projects o ON o.id = s.project_id
LEFT JOIN apps a ON a.id = s.app_id
WHERE w.manager_id = $1 AND w.removed_at IS NULL AND w.released_at IS NULL AND w.superseded_at IS NULL
ORDER BY w.id FOR UPDATE OF w

-- name: made_of
-- What the container of worker $1 was made of.
UPDATE session_workers SET image = $2 WHERE id = $1 AND image <> $2

-- name: renew_tokens
-- The former token stays valid until the new one is first used; a still unused one is replaced.
UPDATE session_workers SET
  former_token_hash = coalesce(session_workers.former_token_hash, session_workers.token_hash),
  token_hash = new.token_hash
FROM unnest($1::uuid[], $2::text[]) AS new (id, token_hash)
WHERE session_workers.id = new.id

-- name: seen
UPDATE managers SET last_seen_at = now(), draining = $2 WHERE id = $1

-- name: renew_leases
-- A heartbeat on an expired lease that nobody took revives it. Locked in ascending order. $4: how long each has
-- been idle, NULL while it is not.
WITH answered AS (
  SELECT w.id, told.idle FROM session_workers w
  JOIN unnest($1::uuid[], $4::float8[]) AS told (id, idle) ON told.id = w.id
  WHERE w.manager_id = $2 AND w.released_at IS NULL AND w.superseded_at IS NULL
  ORDER BY w.id FOR NO KEY UPDATE OF w
)
UPDATE session_workers SET lease_until = clock_timestamp() + make_interval(secs => $3),
                           idle_since = clock_timestamp() - make_interval(secs => answered.idle)
FROM answered WHERE session_workers.id = answered.id

-- name: verdicts
SELECT id, manager_id, released_at IS NOT NULL AS released, superseded_at IS NOT NULL AS superseded,
       remove_requested_at IS NOT NULL AS remove_requested
FROM session_workers WHERE id = ANY($1::uuid[])

-- name: worker
SELECT id, project_id, session_id, epoch, manager_id, state::text AS state, last_source_seq, pinned,
       stop_requested_at IS NOT NULL AS stopping, lease_until < clock_timestamp() AS lease_expired,
       token_hash, reason, released_at IS NOT NULL AS released,
       superseded_at IS NOT NULL AS superseded, remove_requested_at IS NOT NULL AS remove_requested
FROM session_workers WHERE id = $1

-- name: set_disk
-- What holds its disk limit, as its manager says.
UPDATE session_workers SET disk = $2 WHERE id = $1

-- name: latest_worker
SELECT id FROM session_workers WHERE session_id = $1 AND removed_at IS NULL ORDER BY epoch DESC LIMIT 1

-- name: removed
UPDATE session_workers SET removed_at = now(), state = 'removed',
  superseded_at = CASE WHEN released_at IS NULL THEN coalesce(superseded_at, now()) END
WHERE id = $1 AND removed_at IS NULL
RETURNING remove_requested_at IS NOT NULL AS forced

-- name: stuck
-- Once for each worker that is over and still there.
UPDATE session_workers SET reason = concat_ws(', ', nullif(reason, ''), 'removal_stuck')
WHERE id = $1 AND removed_at IS NULL AND (released_at IS NOT NULL OR superseded_at IS NOT NULL)
  AND position('removal_stuck' IN reason) = 0
RETURNING true

-- name: request_removal
UPDATE session_workers SET remove_requested_at = coalesce(remove_requested_at, now())
WHERE id = ANY($1::uuid[])

-- name: expired
-- Sessions whose current worker's lease has run out.
SELECT session_id FROM session_workers
WHERE lease_until < clock_timestamp() AND released_at IS NULL AND superseded_at IS NULL
ORDER BY lease_until LIMIT $1

-- name: tick
-- A gap between ticks means that nobody looked: one full lease passes before anything is taken.
INSERT INTO loop_ticks (name) VALUES ($1)
ON CONFLICT (name) DO UPDATE SET
  ticked_at = clock_timestamp(),
  resume_at = CASE WHEN clock_timestamp() - loop_ticks.ticked_at > make_interval(secs => $2)
                   THEN clock_timestamp() + make_interval(secs => $3)
                   ELSE loop_ticks.resume_at END
RETURNING resume_at <= clock_timestamp() AS may_take

-- name: overdue_cancels
SELECT session_id, id FROM runs
WHERE cancel_deadline < clock_timestamp() AND finished_at IS NULL
  AND state IN ('claimed', 'running', 'waiting')
ORDER BY cancel_deadline LIMIT $1

-- name: waiting_too_long
SELECT session_id, id FROM runs
WHERE state = 'waiting' AND worker_id IS NOT NULL
  AND waiting_since < now() - make_interval(secs => $1)
ORDER BY waiting_since LIMIT $2

-- name: headless_lines
-- Lines that have pending runs and no head: none should be; a loop repairs them.
SELECT DISTINCT behind.session_id FROM runs behind
WHERE behind.state = 'pending'
  AND NOT EXISTS (SELECT FROM runs head WHERE head.session_id = behind.session_id
                  AND head.state IN ('queued', 'claimed', 'running', 'waiting'))
LIMIT $1

-- name: overdue_requests
SELECT session_id, id FROM human_loop_requests
WHERE state = 'pending' AND overdue_at IS NULL AND deadline < now()
ORDER BY deadline LIMIT $1

-- name: mark_overdue
UPDATE human_loop_requests SET overdue_at = now()
WHERE id = ANY($1::uuid[]) AND state = 'pending' AND overdue_at IS NULL
RETURNING id, session_id, run_id

-- name: forgotten_runs
-- Live runs of workers $1, whose executors say that they have none: every command to start one was taken more
-- than $2 seconds ago.
SELECT r.session_id, r.id FROM runs r
WHERE r.worker_id = ANY($1::uuid[]) AND r.state IN ('claimed', 'running', 'waiting')
  AND EXISTS (SELECT FROM commands c WHERE c.worker_id = r.worker_id AND c.type = 'start')
  AND NOT EXISTS (SELECT FROM commands c WHERE c.worker_id = r.worker_id AND c.type = 'start'
                  AND (c.done_at IS NULL OR c.done_at > now() - make_interval(secs => $2)))
