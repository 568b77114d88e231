-- name: lock_projects
-- Project streams (their id is the project's) that have outbox rows and that nobody holds, at most $1; who waits longest
-- goes first. The recursion steps from project to project over the index, however long the outbox is.
WITH RECURSIVE waiting (project_id) AS (
  (SELECT project_id FROM outbox ORDER BY project_id LIMIT 1)
  UNION ALL
  SELECT (SELECT o.project_id FROM outbox o WHERE o.project_id > w.project_id
          ORDER BY o.project_id LIMIT 1)
  FROM waiting w WHERE w.project_id IS NOT NULL
)
SELECT s.id, s.last_seq
FROM waiting w
JOIN streams s ON s.id = w.project_id AND s.kind = 'project'
ORDER BY (SELECT min(o.id) FROM outbox o WHERE o.project_id = w.project_id)
LIMIT $1
FOR UPDATE OF s SKIP LOCKED

-- name: take
-- After the lock, in a statement of its own, so that what the former holder deleted is gone. At most $2, of each
-- project its oldest.
SELECT o.id, o.project_id, o.session_id, o.run_id, o.attempt, o.type, o.payload, o.trace_id, o.at
FROM unnest($1::uuid[]) AS locked (project_id)
CROSS JOIN LATERAL (
  SELECT * FROM outbox WHERE outbox.project_id = locked.project_id ORDER BY outbox.id LIMIT $2
) AS o
ORDER BY o.id LIMIT $2

-- name: delete
DELETE FROM outbox WHERE id = ANY($1::bigint[])

-- name: left
-- Rows that a pass could take.
SELECT EXISTS (SELECT FROM outbox)

-- name: tasks
SELECT t.id, t.state::text AS state, t.version, t.last_run_id, t.last_reason, t.summary
FROM tasks t WHERE t.id = ANY($1::uuid[]) ORDER BY t.id FOR NO KEY UPDATE

-- name: run_order
-- Runs of one task in the order in which they were made.
SELECT id FROM runs WHERE id = ANY($1::uuid[]) ORDER BY created_at, line_no, id

-- name: update_tasks
UPDATE tasks SET state = new.state::task_state, version = new.version, last_run_id = new.last_run_id,
                 last_reason = new.last_reason, summary = new.summary, updated_at = now()
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::uuid[], $5::text[], $6::text[])
  AS new (id, state, version, last_run_id, last_reason, summary)
WHERE tasks.id = new.id

-- name: advance_projects
UPDATE streams SET last_seq = new.last_seq
FROM unnest($1::uuid[], $2::bigint[]) AS new (id, last_seq)
WHERE streams.id = new.id
