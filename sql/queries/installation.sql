-- name: manager
-- For a change: whoever changes it as well takes turns, heartbeats too.
SELECT max_workers, wanted_workers, wanted_warm, wanted_draining, version FROM managers WHERE id = $1 FOR UPDATE

-- name: order_manager
UPDATE managers SET wanted_workers = $2, wanted_warm = $3, wanted_draining = $4, version = version + 1 WHERE id = $1

-- name: workers_of
-- Workers of managers $1 that are not removed, by state, and how many of those are live.
SELECT manager_id, state::text AS state, count(*)::int AS workers,
       (count(*) FILTER (WHERE released_at IS NULL AND superseded_at IS NULL))::int AS live
FROM session_workers WHERE manager_id = ANY($1::uuid[]) AND removed_at IS NULL
GROUP BY manager_id, state ORDER BY manager_id, state

-- name: make_administrator
-- No row: there is no such user, or it was one before.
UPDATE users SET administrator = true WHERE id = $1 AND NOT administrator RETURNING id

-- name: lock_administrators
-- Two who demote each other take turns.
SELECT id FROM users WHERE administrator ORDER BY id FOR NO KEY UPDATE

-- name: unmake_administrator
UPDATE users SET administrator = false WHERE id = $1
