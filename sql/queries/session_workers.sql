-- name: of_session
-- The current worker, else the newest one that was not removed.
SELECT id, session_id, project_id, epoch, manager_id, state::text AS state,
       released_at IS NULL AND superseded_at IS NULL AS current, pinned, reason, created_at,
       lease_until, coalesce(superseded_at, released_at) AS ended_at
FROM session_workers WHERE session_id = $1 AND removed_at IS NULL ORDER BY epoch DESC LIMIT 1
