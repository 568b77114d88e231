-- name: hold
-- Before its bytes are uploaded. One that is being deleted gets another key: the deletion is of the old one.
INSERT INTO project_objects (project_id, sha256, key, length) VALUES ($1, $2, $3, $4)
ON CONFLICT (project_id, sha256) DO UPDATE
SET key = CASE WHEN project_objects.doomed THEN excluded.key ELSE project_objects.key END,
    stored_at = CASE WHEN project_objects.doomed THEN NULL ELSE project_objects.stored_at END,
    named_at = now(), condemned_at = NULL, doomed = false
RETURNING key, stored_at IS NOT NULL AS stored

-- name: stored
-- After their bytes are there, in the transaction that names them. One is missing: it was collected meanwhile.
UPDATE project_objects o SET stored_at = coalesce(o.stored_at, now()), named_at = now(), condemned_at = NULL
FROM unnest($2::text[], $3::text[]) AS kept (sha256, key)
WHERE o.project_id = $1 AND o.sha256 = kept.sha256 AND o.key = kept.key AND NOT o.doomed RETURNING o.key

-- name: condemn
-- What no file names, and was named last so long ago. What somebody is just naming is passed over.
UPDATE project_objects SET condemned_at = now()
WHERE key IN (
  SELECT o.key FROM project_objects o
  WHERE o.condemned_at IS NULL AND o.named_at < now() - make_interval(secs => $1)
    AND NOT EXISTS (SELECT FROM project_files f WHERE f.project_id = o.project_id AND f.sha256 = o.sha256)
  FOR UPDATE SKIP LOCKED
)

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
