-- name: insert
-- One at a time of a scope.
INSERT INTO verifications (id, scope, project_id, session_id, marks, created_by) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (scope) WHERE finished_at IS NULL DO NOTHING RETURNING id

-- name: open_one
SELECT id FROM verifications WHERE scope = $1 AND finished_at IS NULL

-- name: enlist
-- What is committed at this moment.
INSERT INTO verification_snapshots (verification_id, snapshot_id, project_id, session_id)
SELECT $1, id, project_id, session_id FROM snapshots
WHERE ($2::uuid IS NULL OR project_id = $2) AND ($3::uuid IS NULL OR session_id = $3)

-- name: counts
SELECT verification_id, 'snapshots' AS of, outcome, count(*) AS count, coalesce(sum(findings), 0)::bigint AS findings
FROM verification_snapshots WHERE verification_id = ANY($1::uuid[]) GROUP BY verification_id, outcome
UNION ALL
SELECT verification_id, 'packs', outcome, count(*), 0
FROM verification_packs WHERE verification_id = ANY($1::uuid[]) GROUP BY verification_id, outcome

-- name: hold
-- The oldest that nobody is at, or who asks.
UPDATE verifications SET holder = $1, held_until = clock_timestamp() + make_interval(secs => $2)
WHERE id = (SELECT id FROM verifications
            WHERE finished_at IS NULL AND (holder IS NULL OR holder = $1 OR held_until < clock_timestamp())
            ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, marks

-- name: let_go
UPDATE verifications SET holder = NULL WHERE holder = $1

-- name: unread
SELECT v.snapshot_id AS id, v.project_id, v.session_id, p.manifest_key, p.manifest_sha256, p.spool_key,
       p.damaged_at IS NOT NULL AS damaged, p.id IS NULL AS gone
FROM verification_snapshots v LEFT JOIN snapshots p ON p.id = v.snapshot_id
WHERE v.verification_id = $1 AND v.outcome = 'pending' ORDER BY v.session_id, v.snapshot_id LIMIT $2

-- name: read
-- Once: whoever comes second changes nothing.
UPDATE verification_snapshots SET outcome = $3, findings = findings + $4
WHERE verification_id = $1 AND snapshot_id = $2 AND outcome = 'pending' RETURNING true

-- name: enlist_packs
INSERT INTO verification_packs (verification_id, pack_key) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING

-- name: names
SELECT pack_key FROM snapshot_packs WHERE snapshot_id = $1

-- name: window
SELECT pack_key FROM verification_packs WHERE verification_id = $1 AND outcome = 'pending' ORDER BY pack_key LIMIT $2

-- name: naming
-- Snapshots of a verification that name any of these packs. Forks share manifests: each is read once; not those of
-- which it was found that they cannot be.
SELECT p.manifest_key, p.manifest_sha256, array_agg(p.id) AS ids
FROM verification_snapshots v JOIN snapshots p ON p.id = v.snapshot_id
WHERE v.verification_id = $1 AND v.outcome IN ('read', 'damaged')
  AND EXISTS (SELECT FROM snapshot_packs n WHERE n.snapshot_id = p.id AND n.pack_key = ANY($2::text[]))
  AND NOT EXISTS (SELECT FROM verification_findings f WHERE f.verification_id = $1 AND f.snapshot_id = p.id
                    AND f.object = p.manifest_key)
GROUP BY p.manifest_key, p.manifest_sha256 ORDER BY p.manifest_key

-- name: settle_packs
-- Once: of two who read the same, the second changes nothing.
UPDATE verification_packs SET outcome = new.outcome
FROM unnest($2::text[], $3::text[]) AS new (key, outcome)
WHERE verification_id = $1 AND pack_key = new.key AND verification_packs.outcome = 'pending'
RETURNING pack_key

-- name: count_read
UPDATE verifications SET bytes_read = bytes_read + $2 WHERE id = $1

-- name: insert_findings
INSERT INTO verification_findings
  (id, verification_id, project_id, session_id, snapshot_id, path, object, place, length, found)
SELECT new.id, $1, v.project_id, v.session_id, v.snapshot_id, new.path, new.object, new.place, new.length, new.found
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[])
  AS new (id, snapshot_id, path, object, place, length, found)
JOIN verification_snapshots v ON v.verification_id = $1 AND v.snapshot_id = new.snapshot_id
JOIN snapshots p ON p.id = v.snapshot_id

-- name: found
UPDATE verification_snapshots SET outcome = 'damaged', findings = findings + new.count
FROM unnest($2::uuid[], $3::bigint[]) AS new (id, count)
WHERE verification_id = $1 AND snapshot_id = new.id
  AND EXISTS (SELECT FROM snapshots p WHERE p.id = new.id)

-- name: unmarked
-- Damaged ones that are not marked as such.
SELECT p.id, p.session_id, v.findings, p.type::text AS type, coalesce((
  SELECT f.object || CASE f.path WHEN '' THEN '' ELSE ' (' || f.path || ')' END || ': ' || f.found
  FROM verification_findings f
  WHERE f.verification_id = $1 AND f.snapshot_id = p.id ORDER BY f.id LIMIT 1), '') AS first
FROM verification_snapshots v JOIN snapshots p ON p.id = v.snapshot_id
WHERE v.verification_id = $1 AND v.outcome = 'damaged' AND p.damaged_at IS NULL
ORDER BY p.session_id, p.id LIMIT $2

-- name: mark
UPDATE snapshots SET damaged_at = clock_timestamp(), damage = $2 WHERE id = $1 AND damaged_at IS NULL RETURNING true

-- name: conclude
UPDATE verification_snapshots v SET outcome = CASE WHEN p.id IS NULL THEN 'gone' ELSE 'intact' END
FROM verification_snapshots o LEFT JOIN snapshots p ON p.id = o.snapshot_id
WHERE v.verification_id = $1 AND v.outcome = 'read'
  AND o.verification_id = v.verification_id AND o.snapshot_id = v.snapshot_id

-- name: unmark
-- What was marked before it was read, and is whole.
UPDATE snapshots p SET damaged_at = NULL, damage = ''
FROM verification_snapshots v JOIN verifications j ON j.id = v.verification_id
WHERE v.verification_id = $1 AND v.snapshot_id = p.id AND v.outcome = 'intact' AND p.damaged_at < j.created_at

-- name: finish
UPDATE verifications SET finished_at = clock_timestamp(), holder = NULL
WHERE id = $1 AND finished_at IS NULL
  AND NOT EXISTS (SELECT FROM verification_snapshots v WHERE v.verification_id = $1 AND v.outcome IN ('pending', 'read'))
  AND NOT EXISTS (SELECT FROM verification_packs v WHERE v.verification_id = $1 AND v.outcome = 'pending')
RETURNING true

-- name: forget
DELETE FROM verifications WHERE id = ANY(ARRAY(
  SELECT id FROM verifications WHERE finished_at < now() - make_interval(days => $1)
  ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED))
