-- name: of_project
SELECT egress::text FROM projects WHERE id = $1

-- name: lock_project
-- Two who change it take turns. Whatever refers to the project goes on meanwhile.
SELECT egress::text FROM projects WHERE id = $1 FOR NO KEY UPDATE

-- name: set_project
UPDATE projects SET egress = $2::jsonb WHERE id = $1

-- name: of_worker
-- What is in force for a worker now: its session's app's own, else its project's.
SELECT coalesce(nullif(a.egress, '{}'), o.egress)::text
FROM session_workers w
JOIN sessions s ON s.id = w.session_id
JOIN projects o ON o.id = s.project_id
LEFT JOIN apps a ON a.id = s.app_id
WHERE w.id = $1

-- name: of_current_workers
SELECT w.id, coalesce(nullif(a.egress, '{}'), o.egress)::text AS egress
FROM session_workers w
JOIN sessions s ON s.id = w.session_id
JOIN projects o ON o.id = s.project_id
LEFT JOIN apps a ON a.id = s.app_id
WHERE w.id = ANY($1::uuid[]) AND w.released_at IS NULL AND w.superseded_at IS NULL

-- name: take_denials
-- A batch is told once, and none of a worker that was superseded meanwhile; so many are remembered, for a relay
-- tells one after the other.
UPDATE session_workers SET told_denials = ($2::uuid || told_denials)[1:16]
WHERE id = $1 AND superseded_at IS NULL AND NOT $2::uuid = ANY(told_denials)
RETURNING id
