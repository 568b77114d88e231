-- name: insert
INSERT INTO branches (session_id, begins_at, project_id, from_session_id, from_seq, from_line, from_until,
                      snapshot_id, run_id, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: newest
-- What a rollback compares: the session's branch, and its newest message.
SELECT (SELECT max(begins_at) FROM branches WHERE session_id = $1) AS branch,
       (SELECT max(line_no) FROM runs WHERE session_id = $1) AS line

-- name: past
-- The stretches of a conversation that has come to run $3 at $2 of session $1, the newest first. Each branch begins
-- behind what it comes off, so that this ends; $4 at most.
WITH RECURSIVE past AS (
  SELECT 1 AS place, $1::uuid AS session_id, coalesce(b.begins_at, 0) AS first, $3::bigint AS last,
         NULL::bigint AS until, b.from_session_id, b.from_seq, b.from_line, b.from_until
  FROM (VALUES (1)) AS one
  LEFT JOIN LATERAL (SELECT * FROM branches WHERE session_id = $1 AND begins_at <= $2::bigint
                     ORDER BY begins_at DESC LIMIT 1) AS b ON true
  UNION ALL
  SELECT p.place + 1, p.from_session_id, coalesce(b.begins_at, 0), p.from_line, p.from_until,
         b.from_session_id, b.from_seq, b.from_line, b.from_until
  FROM past p
  LEFT JOIN LATERAL (SELECT * FROM branches x
                     WHERE x.session_id = p.from_session_id AND x.begins_at <= p.from_seq
                     ORDER BY x.begins_at DESC LIMIT 1) AS b ON true
  WHERE p.from_session_id IS NOT NULL AND p.place < $4
)
SELECT session_id, first, last, until FROM past ORDER BY place

-- name: snapshot
-- Kept from being deleted until this transaction ends.
SELECT id, session_id, project_id, run_id, epoch, type::text AS type, parent, manifest_key, manifest_sha256,
       files, bytes, seq
FROM snapshots WHERE id = $1 AND session_id = $2 FOR SHARE

-- name: run_of
-- The last run that had started when snapshot $1 was taken: its own one, else by time. Of what was saved aside, when
-- its worker was superseded.
SELECT r.id, r.line_no, r.state IN ('succeeded', 'failed', 'blocked', 'canceled') AS over
FROM snapshots p
LEFT JOIN session_workers w ON w.session_id = p.session_id AND w.epoch = p.epoch
JOIN runs r ON r.session_id = p.session_id
WHERE p.id = $1
  AND CASE WHEN p.run_id IS NOT NULL THEN r.id = p.run_id
           ELSE r.started_at <= CASE WHEN p.type = 'side' THEN coalesce(w.superseded_at, w.released_at, p.created_at)
                                     ELSE p.created_at END END
ORDER BY r.line_no DESC LIMIT 1

-- name: last_of_epoch
SELECT max(seq) FROM events WHERE stream_id = $1 AND run_id = $2 AND epoch <= $3

-- name: told_behind
SELECT EXISTS (SELECT FROM events WHERE stream_id = $1 AND run_id = $2 AND seq > $3 AND kind = ANY($4::text[]))

-- name: copy_session
INSERT INTO sessions (id, project_id, title, agent, app_id, model, mode, provider_options, worker_limits, workspace, created_by)
SELECT $2, project_id, coalesce($3, title), agent, app_id, model, mode, provider_options, worker_limits, workspace, $4
FROM sessions WHERE id = $1

-- name: copy_snapshot
-- Snapshot $1 as session $3's own, acknowledged, under the id $2: the same manifest, the same packs, as damaged.
INSERT INTO snapshots
  (id, project_id, session_id, run_id, attempt, epoch, source_seq, type, parent, manifest_key, manifest_sha256,
   files, bytes, new_bytes, added, changed, removed, seq, damaged_at, damage)
SELECT $2::uuid, project_id, $3::uuid, $4::uuid, NULL, $5::bigint, 0, 'acknowledged', $6::uuid, manifest_key,
       manifest_sha256, files, bytes, 0, added, changed, removed, $7::bigint, damaged_at, damage
FROM snapshots WHERE id = $1

-- name: open_questions
-- Of runs behind $2: nobody waits for them any more.
SELECT h.id, h.run_id FROM human_loop_requests h JOIN runs r ON r.id = h.run_id
WHERE h.session_id = $1 AND h.state = 'pending' AND r.line_no > $2
ORDER BY h.id
