-- name: insert_snapshot
INSERT INTO snapshots (id, project_id, session_id, parent, epoch, source_seq, type, manifest_key, manifest_sha256,
                       files, bytes, new_bytes, added, seq)
VALUES ($1, $2, $3, $4, $5, 0, 'acknowledged', $6, $7, $8, $9, $10, $11, $12)

-- name: limits
SELECT s.worker_limits::text AS own, coalesce(a.worker_limits, '{}')::text AS app
FROM sessions s LEFT JOIN apps a ON a.project_id = s.project_id AND a.id = s.app_id
WHERE s.id = $1
