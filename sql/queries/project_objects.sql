-- name: hold
-- Before its bytes are uploaded. One that is being deleted gets another key: the deletion is of the old one.
INSERT INTO project_objects (project_id, sha256, key, length) VALUES ($1, $2, $3, $4)
ON CONFLICT (project_id, sha256) DO UPDATE
SET key = CASE WHEN project_objects.doomed THEN excluded.key ELSE project_objects.key END,
    stored_at = CASE WHEN project_objects.doomed THEN NULL ELSE project_objects.stored_at END,
    named_at = now(), condemned_at = NULL, doomed = false
RETURNING key, stored_at IS NOT NULL AS stored

-- name: stored
-- After its bytes are there, in the transaction that names it. Nothing: it was collected meanwhile.
UPDATE project_objects SET stored_at = coalesce(stored_at, now()), named_at = now(), condemned_at = NULL
WHERE project_id = $1 AND sha256 = $2 AND key = $3 AND NOT doomed RETURNING key

-- name: condemn
-- What no file names, and was named last so long ago.
UPDATE project_objects o SET condemned_at = now()
WHERE o.condemned_at IS NULL AND o.named_at < now() - make_interval(secs => $1)
  AND NOT EXISTS (SELECT FROM project_files f WHERE f.project_id = o.project_id AND f.sha256 = o.sha256)

-- name: doom
-- Condemned so long ago, and still named by nobody: from here on its key is given to nobody.
UPDATE project_objects SET doomed = true
WHERE key IN (
  SELECT o.key FROM project_objects o
  WHERE o.condemned_at < now() - make_interval(secs => $1)
    AND NOT EXISTS (SELECT FROM project_files f WHERE f.project_id = o.project_id AND f.sha256 = o.sha256)
  ORDER BY o.condemned_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING key

-- name: forget
DELETE FROM project_objects WHERE key = ANY($1::text[]) AND doomed
