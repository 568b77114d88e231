-- name: insert_stream
INSERT INTO streams (id, kind, project_id, last_seq) VALUES ($1, 'session', $2, 0)

-- name: insert
INSERT INTO sessions
  (id, project_id, title, agent, app_id, model, mode, provider_options, created_by, workspace)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10::jsonb)

-- name: line_is_empty
-- Nothing of it is live or waits to be.
SELECT NOT EXISTS (SELECT FROM runs WHERE session_id = $1
                   AND state IN ('pending', 'queued', 'claimed', 'running', 'waiting'))

-- name: update
UPDATE sessions SET title = $2, state = $3::session_state, updated_at = now() WHERE id = $1
