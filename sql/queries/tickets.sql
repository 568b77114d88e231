-- name: running
-- The session's current worker, and where its manager is reached.
SELECT w.id, w.project_id, w.epoch, w.manager_id, w.state::text AS state, m.url
FROM session_workers w JOIN managers m ON m.id = w.manager_id
WHERE w.session_id = $1 AND w.released_at IS NULL AND w.superseded_at IS NULL

-- name: newest
-- The session's newest worker that was not removed, whatever became of it.
SELECT w.id, w.project_id, w.epoch, w.manager_id, w.state::text AS state, m.url
FROM session_workers w JOIN managers m ON m.id = w.manager_id
WHERE w.session_id = $1 AND w.removed_at IS NULL ORDER BY w.epoch DESC LIMIT 1

-- name: insert
INSERT INTO tickets
  (token_hash, project_id, session_id, worker_id, epoch, manager_id, audience, issued_to, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now() + make_interval(secs => $9))

-- name: redeem
-- Once, in its time, by its manager, while its worker is the session's; for a log, while it is there. Of two at the
-- same moment the second waits for the first, and then finds it redeemed.
UPDATE tickets t SET redeemed_at = clock_timestamp()
FROM session_workers w
WHERE t.token_hash = $1 AND t.manager_id = $2 AND t.redeemed_at IS NULL AND t.expires_at > clock_timestamp()
  AND w.id = t.worker_id AND w.epoch = t.epoch
  AND CASE t.audience WHEN 'worker.logs' THEN w.removed_at IS NULL
                      ELSE w.released_at IS NULL AND w.superseded_at IS NULL END
RETURNING t.worker_id, t.epoch, t.audience

-- name: expire
DELETE FROM tickets WHERE token_hash = ANY(ARRAY(
  SELECT token_hash FROM tickets WHERE expires_at < now() LIMIT $1 FOR UPDATE SKIP LOCKED))
