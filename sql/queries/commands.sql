-- name: open
-- A command dies with its worker's epoch; only a removal outlives it.
SELECT c.worker_id, w.epoch, c.payload
FROM commands c JOIN session_workers w ON w.id = c.worker_id
WHERE c.done_at IS NULL AND w.manager_id = $1 AND w.removed_at IS NULL
  AND (c.type = 'remove' OR (w.released_at IS NULL AND w.superseded_at IS NULL))
ORDER BY c.position LIMIT $2

-- name: done
UPDATE commands SET done_at = now()
FROM session_workers w
WHERE commands.id = ANY($1::uuid[]) AND w.id = commands.worker_id AND w.manager_id = $2
  AND commands.done_at IS NULL

-- name: has_open
SELECT EXISTS (SELECT FROM commands WHERE worker_id = $1 AND type = $2 AND done_at IS NULL)

-- name: forget
-- What was done, and all of removed workers. A worker that is not removed keeps its `start` commands: by them
-- workers.forgotten_runs sees what its executor was given. What another replica is deleting is passed over.
DELETE FROM commands WHERE id = ANY(ARRAY(
  SELECT c.id FROM commands c JOIN session_workers w ON w.id = c.worker_id
  WHERE (c.done_at < now() - make_interval(secs => $1) AND c.type <> 'start')
     OR w.removed_at < now() - make_interval(secs => $1)
  LIMIT $2 FOR UPDATE OF c SKIP LOCKED))
