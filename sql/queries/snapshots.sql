-- name: head
SELECT p.id, p.type::text AS type, p.manifest_key, p.manifest_sha256, p.epoch, p.source_seq
FROM sessions s JOIN snapshots p ON p.id = s.head_snapshot_id AND p.session_id = s.id
WHERE s.id = $1

-- name: checkpoint
-- The newest one of earlier attempts of the run that this worker has now. Within an epoch, source_seq is the order.
SELECT p.id, p.type::text AS type, p.manifest_key, p.manifest_sha256, p.epoch, p.source_seq
FROM runs r JOIN snapshots p ON p.run_id = r.id AND p.session_id = r.session_id
WHERE r.session_id = $1 AND r.worker_id = $2 AND r.state IN ('claimed', 'running', 'waiting')
  AND p.type = 'checkpoint' AND p.attempt < r.attempt
ORDER BY p.epoch DESC, p.source_seq DESC LIMIT 1

-- name: insert_side
INSERT INTO snapshots
  (id, project_id, session_id, epoch, source_seq, type, parent, manifest_key, manifest_sha256,
   files, bytes, new_bytes, spool_key)
VALUES ($1, $2, $3, $4, 0, 'side', $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (id) DO NOTHING RETURNING id

-- name: owner
SELECT session_id FROM snapshots WHERE id = $1
