-- name: known
-- The same call before, and what became of its question.
SELECT c.id, c.words, c.request_id, c.answer, r.state::text AS request_state, r.answer_to
FROM tool_calls c LEFT JOIN human_loop_requests r ON r.id = c.request_id
WHERE c.run_id = $1 AND c.tool = $2 AND c.key = $3

-- name: count
SELECT count(*) FROM tool_calls WHERE run_id = $1

-- name: record
INSERT INTO tool_calls
  (id, project_id, session_id, run_id, tool, key, words, attempt, epoch, worker_id, called_by,
   request_id, said_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, clock_timestamp())

-- name: repeat
-- Said again, it is what was said last.
UPDATE tool_calls SET calls = calls + 1, attempt = $2, said_at = clock_timestamp() WHERE id = $1

-- name: answer
UPDATE tool_calls SET answer = $2 WHERE id = $1

-- name: said
SELECT run_id, tool, words, request_id FROM tool_calls
WHERE run_id = ANY($1::uuid[]) ORDER BY said_at, id

-- name: request_state
SELECT state::text FROM human_loop_requests WHERE id = $1

-- name: last_run
-- Of a session without a head: what was done in it last.
SELECT id FROM runs WHERE session_id = $1 AND finished_at IS NOT NULL
ORDER BY line_no DESC LIMIT 1

-- name: task
SELECT id, state::text AS state, version, last_run_id, last_reason, summary FROM tasks WHERE id = $1
