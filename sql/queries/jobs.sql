-- name: insert
INSERT INTO jobs (id, project_id, kind, created_by, deadline)
VALUES ($1, $2, $3::job_kind, $4, now() + make_interval(secs => $5))

-- name: enlist_cleanup_idle
-- Every current worker.
INSERT INTO job_members (job_id, project_id, session_id, worker_id)
SELECT $1, project_id, session_id, id FROM session_workers
WHERE project_id = $2 AND released_at IS NULL AND superseded_at IS NULL

-- name: enlist_cleanup_stopped
-- Every worker that ended and is not removed.
INSERT INTO job_members (job_id, project_id, session_id, worker_id)
SELECT $1, project_id, session_id, id FROM session_workers
WHERE project_id = $2 AND removed_at IS NULL AND (released_at IS NOT NULL OR superseded_at IS NOT NULL)

-- name: enlist_reconcile_runs
-- Every session with a line; put as the partial indexes are.
INSERT INTO job_members (job_id, project_id, session_id)
SELECT DISTINCT $1::uuid, project_id, session_id FROM runs
WHERE (state = 'pending' OR state = 'queued' OR state IN ('claimed', 'running', 'waiting')) AND project_id = $2

-- name: enlist_reconcile_sync
-- Every current worker with something unsaved for $3 seconds.
INSERT INTO job_members (job_id, project_id, session_id, worker_id)
SELECT $1, project_id, session_id, id FROM session_workers
WHERE project_id = $2 AND unsaved_since < now() - make_interval(secs => $3)
  AND released_at IS NULL AND superseded_at IS NULL

-- name: counts
-- Of jobs that are not done; the others keep theirs.
SELECT job_id, outcome, count(*) AS count FROM job_members
WHERE job_id = ANY($1::uuid[]) GROUP BY job_id, outcome

-- name: pending
-- Members that nobody has acted on; a hint: the guard is asked under their sessions' locks.
SELECT m.id, m.job_id, j.kind::text AS kind, m.session_id, m.worker_id
FROM job_members m JOIN jobs j ON j.id = m.job_id
WHERE m.ended_at IS NULL AND m.outcome = 'pending' AND j.deadline > clock_timestamp()
ORDER BY m.job_id, m.id LIMIT $1

-- name: still_pending
-- After the streams' locks, in a statement of its own: what another replica acted on is left out.
SELECT id FROM job_members WHERE id = ANY($1::bigint[]) AND outcome = 'pending' AND ended_at IS NULL
ORDER BY id FOR UPDATE

-- name: settle
UPDATE job_members SET outcome = new.outcome, detail = new.detail, acted_at = clock_timestamp(),
                       ended_at = CASE WHEN new.over THEN clock_timestamp() END
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bool[]) AS new (id, outcome, detail, over)
WHERE job_members.id = new.id AND job_members.ended_at IS NULL

-- name: follow
-- What became of workers that were asked for something. What another replica settles is passed over.
WITH ended AS (
  SELECT m.id, became.outcome
  FROM job_members m
  JOIN session_workers w ON w.id = m.worker_id
  CROSS JOIN LATERAL (SELECT CASE m.outcome
    WHEN 'stopping' THEN CASE
      WHEN w.released_at IS NOT NULL THEN 'stopped'
      WHEN w.superseded_at IS NOT NULL OR w.stop_requested_at IS NULL THEN 'failed' END
    WHEN 'removing' THEN CASE WHEN w.removed_at IS NOT NULL THEN 'removed' END
    WHEN 'syncing' THEN CASE
      WHEN w.released_at IS NOT NULL OR w.unsaved_since IS NULL OR w.unsaved_since > m.acted_at THEN 'saved'
      WHEN w.superseded_at IS NOT NULL THEN 'failed' END
    END AS outcome) AS became
  WHERE m.ended_at IS NULL AND m.outcome <> 'pending' AND became.outcome IS NOT NULL
  ORDER BY m.id FOR UPDATE OF m SKIP LOCKED
)
UPDATE job_members SET outcome = ended.outcome, ended_at = clock_timestamp()
FROM ended WHERE job_members.id = ended.id

-- name: time_out
UPDATE job_members SET outcome = 'timed_out', detail = outcome, ended_at = clock_timestamp()
WHERE id = ANY(ARRAY(
  SELECT m.id FROM job_members m JOIN jobs j ON j.id = m.job_id
  WHERE m.ended_at IS NULL AND j.deadline <= clock_timestamp()
  ORDER BY m.id FOR UPDATE OF m SKIP LOCKED))

-- name: finish
-- Jobs of which every member has ended; what ended does not change, so that the counts are their last.
UPDATE jobs SET finished_at = clock_timestamp(), counts = coalesce(
  (SELECT jsonb_object_agg(c.outcome, c.count) FROM (
     SELECT m.outcome, count(*) AS count FROM job_members m WHERE m.job_id = jobs.id GROUP BY m.outcome
   ) AS c), '{}')
WHERE id = ANY(ARRAY(
  SELECT j.id FROM jobs j
  WHERE j.finished_at IS NULL
    AND NOT EXISTS (SELECT FROM job_members m WHERE m.job_id = j.id AND m.ended_at IS NULL)
  ORDER BY j.id FOR UPDATE SKIP LOCKED))

-- name: forget
-- With their members.
DELETE FROM jobs WHERE id = ANY(ARRAY(
  SELECT id FROM jobs WHERE finished_at < now() - make_interval(days => $1)
  LIMIT $2 FOR UPDATE SKIP LOCKED))

-- name: ended_workers
-- After their sessions' locks.
SELECT id, manager_id, released_at IS NOT NULL AS released, superseded_at IS NOT NULL AS superseded, pinned,
       remove_requested_at IS NOT NULL AS remove_requested, removed_at IS NOT NULL AS removed
FROM session_workers WHERE id = ANY($1::uuid[])
