-- name: open
-- Of the run that the worker has now; of none where it has none. The input is what the loop would book.
INSERT INTO model_calls
  (id, project_id, session_id, run_id, attempt, upstream, path, model, input_tokens, deadline)
SELECT $1, $2, $3, r.id, r.attempt, $5, $6, $7, $8, now() + make_interval(secs => $9)
FROM (SELECT 1) AS one
LEFT JOIN runs r ON r.session_id = $3 AND r.worker_id = $4 AND r.state IN ('claimed', 'running', 'waiting')

-- name: close
-- Once: numbers go into a row that is still open, and whoever comes second changes nothing.
UPDATE model_calls
SET state = $2, status = $3, source = $4, input_tokens = $5, output_tokens = $6, cached_tokens = $7,
    thought_tokens = $8, provider_id = $9, ended_at = now()
WHERE id = $1 AND state = 'open' RETURNING id

-- name: close_overdue
-- What a control plane that died left open. The input stands as it was estimated at its start.
UPDATE model_calls SET state = 'cut', source = 'estimated', ended_at = now()
WHERE state = 'open' AND id = ANY(ARRAY(
  SELECT id FROM model_calls WHERE state = 'open' AND deadline < now()
  ORDER BY deadline LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING id

-- name: usage
-- Of a run, over all attempts: what was metered and what was estimated.
SELECT source, model, sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens, sum(cached_tokens)::bigint AS cached_tokens,
       sum(thought_tokens)::bigint AS thought_tokens
FROM model_calls WHERE run_id = $1 AND source IS NOT NULL GROUP BY source, model ORDER BY source, model
