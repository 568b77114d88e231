-- name: of_session
-- The current worker, else the newest one that was not removed.
SELECT id, session_id, project_id, epoch, manager_id, state::text AS state,
       released_at IS NULL AND superseded_at IS NULL AS current, pinned, reason, disk, image, created_at,
       lease_until, coalesce(superseded_at, released_at) AS ended_at
FROM session_workers WHERE session_id = $1 AND removed_at IS NULL ORDER BY epoch DESC LIMIT 1

-- name: settings
-- A session's own, its app's, and what its current worker was made with.
SELECT s.id AS session_id, s.worker_limits::text AS own, a.worker_limits::text AS apps, s.keep_warm,
       w.limits::text AS made_with
FROM sessions s
LEFT JOIN apps a ON a.project_id = s.project_id AND a.id = s.app_id
LEFT JOIN session_workers w ON w.session_id = s.id AND w.released_at IS NULL AND w.superseded_at IS NULL
WHERE s.id = $1

-- name: set
UPDATE sessions SET worker_limits = $2::jsonb, keep_warm = $3, updated_at = now() WHERE id = $1
