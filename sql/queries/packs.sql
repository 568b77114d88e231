-- name: record
-- Before its URL is given: no object of ours stands in the store without a row.
INSERT INTO packs (key, project_id, session_id, purpose, length)
SELECT key, $1, $2, purpose, length FROM unnest($3::text[], $4::text[], $5::bigint[]) AS new (key, purpose, length)
ON CONFLICT (key) DO NOTHING

-- name: lock
-- In the order of keys, whoever asks: those who name the same packs take turns, and so does who collects them.
SELECT key, project_id, session_id, gone_at IS NOT NULL AS gone FROM packs
WHERE key = ANY($1::text[]) ORDER BY key FOR NO KEY UPDATE

-- name: named_before
-- Another session's packs that a session's snapshots name: it is a fork.
SELECT DISTINCT s.session_id, n.pack_key FROM snapshots s JOIN snapshot_packs n ON n.snapshot_id = s.id
WHERE s.session_id = ANY($1::uuid[]) AND n.pack_key = ANY($2::text[])

-- name: all_known
SELECT EXISTS (SELECT FROM collections WHERE packs_known_at IS NOT NULL)

-- name: adopt
-- What was uploaded before there were rows; its uploader is in its key.
INSERT INTO packs (key, project_id, session_id, purpose, length)
SELECT key, project_id, session_id, purpose, length
FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[])
  AS new (key, project_id, session_id, purpose, length)
ORDER BY key COLLATE "C"
ON CONFLICT (key) DO UPDATE SET length = excluded.length WHERE packs.length IS NULL

-- name: name
INSERT INTO snapshot_packs (snapshot_id, pack_key)
SELECT snapshot_id, pack_key FROM unnest($1::uuid[], $2::text[]) AS new (snapshot_id, pack_key)
ON CONFLICT DO NOTHING

-- name: pardon
-- Under their locks.
UPDATE packs SET condemned_at = NULL WHERE key = ANY($1::text[]) AND condemned_at IS NOT NULL

-- name: known
UPDATE snapshots SET packs_known = true WHERE id = ANY($1::uuid[]) AND NOT packs_known

-- name: snapshot
SELECT project_id, session_id, manifest_key, spool_key FROM snapshots WHERE id = $1

-- name: unknown
-- Snapshots whose manifests are to be read; those that could not be are tried again after the others.
SELECT id, project_id, session_id, manifest_key, manifest_sha256, spool_key, damaged_at IS NOT NULL AS damaged
FROM snapshots WHERE NOT packs_known AND (NOT $1::bool OR damaged_at IS NULL) AND NOT id = ANY($2::uuid[])
ORDER BY project_id, id LIMIT $3

-- name: lock_snapshot
SELECT true FROM snapshots WHERE id = $1 FOR KEY SHARE

-- name: hold
-- Who collects, until then. Its work is safe without: this spares two doing the same.
INSERT INTO collections (one, holder, held_until) VALUES (true, $1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (one) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
WHERE collections.holder IS NULL OR collections.holder = excluded.holder OR collections.held_until < clock_timestamp()
RETURNING looked_at, listed, packs_known_at IS NOT NULL AS known

-- name: let_go
UPDATE collections SET holder = NULL WHERE holder = $1

-- name: all_read
-- Once: from now on nothing may be named that has no row.
UPDATE collections SET packs_known_at = clock_timestamp() WHERE packs_known_at IS NULL

-- name: looked_at
UPDATE collections SET looked_at = $1

-- name: listed
UPDATE collections SET listed = $1

-- name: damage
UPDATE snapshots SET damaged_at = clock_timestamp(), damage = $2 WHERE id = $1 AND damaged_at IS NULL

-- name: page
SELECT key, condemned_at IS NULL AND uploaded_at < now() - make_interval(secs => $2) AS old,
       EXISTS (SELECT FROM snapshot_packs n WHERE n.pack_key = p.key) AS named
FROM packs p WHERE key > $1 ORDER BY key LIMIT $3

-- name: lock_free
-- What a commit holds at this moment it is about to name.
SELECT key FROM packs WHERE key = ANY($1::text[]) ORDER BY key FOR NO KEY UPDATE SKIP LOCKED

-- name: condemn
-- Under their locks, in a statement after them. Nothing of a project with a snapshot whose packs are not known.
UPDATE packs SET condemned_at = clock_timestamp()
WHERE key = ANY($1::text[]) AND condemned_at IS NULL
  AND NOT EXISTS (SELECT FROM snapshot_packs n WHERE n.pack_key = packs.key)
  AND NOT EXISTS (SELECT FROM snapshots s WHERE s.project_id = packs.project_id AND NOT s.packs_known)

-- name: long_condemned
SELECT key FROM packs
WHERE condemned_at < now() - make_interval(secs => $1) AND gone_at IS NULL AND key > $2 ORDER BY key LIMIT $3

-- name: give_up
-- From now on whoever names it is refused. Under their locks, in a statement after them.
UPDATE packs SET gone_at = clock_timestamp()
WHERE key = ANY($1::text[]) AND condemned_at < clock_timestamp() - make_interval(secs => $2) AND gone_at IS NULL
  AND NOT EXISTS (SELECT FROM snapshot_packs n WHERE n.pack_key = packs.key)
  AND NOT EXISTS (SELECT FROM snapshots s WHERE s.project_id = packs.project_id AND NOT s.packs_known)

-- name: gone
SELECT key FROM packs WHERE gone_at IS NOT NULL AND deleted_at IS NULL AND key > $1 ORDER BY key LIMIT $2

-- name: deleted
UPDATE packs SET deleted_at = clock_timestamp() WHERE key = ANY($1::text[]) AND gone_at IS NOT NULL

-- name: forget
-- Kept for a while: a listing of the store that began before may still show what is deleted.
DELETE FROM packs WHERE key = ANY(ARRAY(
  SELECT key FROM packs WHERE gone_at IS NOT NULL AND deleted_at < now() - make_interval(secs => $1)
    AND NOT EXISTS (SELECT FROM snapshot_packs n WHERE n.pack_key = packs.key)
  ORDER BY key LIMIT $2 FOR UPDATE SKIP LOCKED))

-- name: again
-- What stands in the store although it was deleted: an upload that came late.
UPDATE packs SET deleted_at = NULL
WHERE key = ANY($1::text[]) AND deleted_at < now() - make_interval(secs => $2)

-- name: passed
-- Old checkpoints of runs that have ended, and old side snapshots; a hint.
SELECT id, session_id, created_at FROM snapshots p
WHERE type <> 'acknowledged' AND (created_at, id) > ($3::timestamptz, $4::uuid)
  AND created_at < now() - make_interval(secs => CASE type WHEN 'side' THEN $2::float8 ELSE $1::float8 END)
ORDER BY created_at, id LIMIT $5

-- name: delete_passed
-- Under their sessions' locks. Not a head; not while its run can be tried again; a checkpoint not before its session
-- was saved after it: until then it may be the last there is, and a worker's next save refers to it; nothing of a
-- session whose head is damaged.
DELETE FROM snapshots p
WHERE p.id = ANY($1::uuid[]) AND p.session_id = ANY($2::uuid[]) AND p.type <> 'acknowledged'
  AND NOT EXISTS (SELECT FROM sessions s WHERE s.head_snapshot_id = p.id)
  AND NOT EXISTS (SELECT FROM runs r WHERE r.id = p.run_id AND r.project_id = p.project_id
                    AND (r.finished_at IS NULL OR r.finished_at > now() - make_interval(secs => $3)))
  AND NOT EXISTS (SELECT FROM sessions s JOIN snapshots h ON h.id = s.head_snapshot_id
                  WHERE s.id = p.session_id AND h.damaged_at IS NOT NULL)
  AND (p.type = 'side'
       OR EXISTS (SELECT FROM snapshots later WHERE later.session_id = p.session_id AND later.type = 'acknowledged'
                    AND (later.epoch, later.source_seq) > (p.epoch, p.source_seq)))
RETURNING p.id

-- name: lock_sessions
-- Those that nobody holds.
SELECT id FROM streams WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED

-- name: without_row
SELECT key FROM unnest($1::text[]) AS there (key) WHERE NOT EXISTS (SELECT FROM packs p WHERE p.key = there.key)
