-- name: sizes
-- How much was said and done in each run from $2 to $3 in a line: of the kinds $4, the newest first.
SELECT r.line_no, coalesce(sum(octet_length(e.payload)), 0)::bigint AS size
FROM runs r
LEFT JOIN events e ON e.stream_id = $1 AND e.run_id = r.id AND e.kind = ANY($4::text[])
WHERE r.session_id = $1 AND r.line_no BETWEEN $2 AND $3 AND r.started_at IS NOT NULL
GROUP BY r.line_no ORDER BY r.line_no DESC

-- name: runs
SELECT r.id, r.line_no, r.agent, p.prompt, r.state::text AS state, p.output, p.reason, p.detail, r.created_at,
       r.started_at, r.finished_at
FROM runs r JOIN run_payloads p ON p.run_id = r.id WHERE r.id = ANY($1::uuid[])

-- name: insert_session
INSERT INTO sessions (id, project_id, title, agent, model, mode, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: insert_runs
-- Ended elsewhere: they count for nobody. No time is later than now.
INSERT INTO runs (id, project_id, session_id, agent, state, line_no, created_at, started_at, finished_at)
SELECT id, $1::uuid, $2::uuid, agent, state::run_state, line_no, least(made, now()), least(started, now()),
       coalesce(least(finished, now()), now())
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[])
  AS new (id, agent, state, line_no, made, started, finished)

-- name: insert_payloads
INSERT INTO run_payloads (run_id, project_id, prompt, options, output, reason, detail)
SELECT run_id, $1::uuid, prompt, '{}', output, reason, detail
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) AS new (run_id, prompt, output, reason, detail)

-- name: insert_events
INSERT INTO events (stream_id, seq, project_id, session_id, run_id, attempt, kind, payload, at)
SELECT $1::uuid, seq, $2::uuid, $1::uuid, run_id, attempt, kind, payload, least(at, now())
FROM unnest($3::bigint[], $4::uuid[], $5::int[], $6::text[], $7::text[], $8::timestamptz[])
  AS new (seq, run_id, attempt, kind, payload, at)

-- name: advance
UPDATE streams SET last_seq = $2 WHERE id = $1

-- name: insert_snapshot
INSERT INTO snapshots (id, project_id, session_id, epoch, source_seq, type, manifest_key, manifest_sha256, files,
                       bytes, new_bytes, added, seq)
VALUES ($1, $2, $3, 0, 0, 'acknowledged', $4, $5, $6, $7, $8, $9, $10)
