-- name: head
SELECT p.id, p.type::text AS type, p.manifest_key, p.manifest_sha256, p.epoch, p.source_seq,
       p.damaged_at IS NOT NULL AS damaged
FROM sessions s JOIN snapshots p ON p.id = s.head_snapshot_id AND p.session_id = s.id
WHERE s.id = $1

-- name: point
SELECT id, type::text AS type, manifest_key, manifest_sha256, epoch, source_seq, damaged_at IS NOT NULL AS damaged
FROM snapshots WHERE session_id = $1 AND id = $2

-- name: checkpoint
-- The newest one of earlier attempts of the run that this worker has now. Within an epoch, source_seq is the order.
SELECT p.id, p.type::text AS type, p.manifest_key, p.manifest_sha256, p.epoch, p.source_seq,
       p.damaged_at IS NOT NULL AS damaged
FROM runs r JOIN snapshots p ON p.run_id = r.id AND p.session_id = r.session_id
WHERE r.session_id = $1 AND r.worker_id = $2 AND r.state IN ('claimed', 'running', 'waiting')
  AND p.type = 'checkpoint' AND p.attempt < r.attempt AND p.damaged_at IS NULL
ORDER BY p.epoch DESC, p.source_seq DESC LIMIT 1

-- name: insert_side
INSERT INTO snapshots
  (id, project_id, session_id, epoch, source_seq, type, parent, manifest_key, manifest_sha256,
   files, bytes, new_bytes, spool_key, added, changed, removed)
VALUES ($1, $2, $3, $4, 0, 'side', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (id) DO NOTHING RETURNING id

-- name: owner
SELECT session_id FROM snapshots WHERE id = $1

-- name: intact_before
-- Those that led to it, and the checkpoints that were taken on the way from one to the next; the nearest first. By
-- their parents: what no worker saved (a tree that was sent, a copy) has no place in the order of an epoch.
WITH RECURSIVE before AS (
  SELECT id, session_id, parent, epoch, source_seq, NULL::bigint AS next_epoch, NULL::bigint AS next_seq, 0 AS depth
  FROM snapshots WHERE id = $1
  UNION ALL
  SELECT p.id, p.session_id, p.parent, p.epoch, p.source_seq, b.epoch, b.source_seq, b.depth + 1
  FROM before b JOIN snapshots p ON p.id = b.parent AND p.session_id = b.session_id WHERE b.depth < 200
)
SELECT p.id, p.type::text AS type, p.manifest_key, p.manifest_sha256, p.epoch, p.source_seq, false AS damaged
FROM before b JOIN snapshots p ON p.session_id = b.session_id
  AND (p.id = b.id OR (p.parent = b.id AND p.type = 'checkpoint'
                       AND (p.epoch, p.source_seq) < (b.next_epoch, b.next_seq)))
WHERE b.depth > 0 AND p.damaged_at IS NULL AND p.type <> 'side'
ORDER BY b.depth, p.id = b.id, p.epoch DESC, p.source_seq DESC LIMIT 1
