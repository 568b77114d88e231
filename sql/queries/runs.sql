-- name: output
SELECT r.state::text AS state, p.output FROM runs r JOIN run_payloads p ON p.run_id = r.id WHERE r.id = $1

-- name: state
SELECT state::text FROM runs WHERE id = $1

-- name: todos
SELECT seq, entries FROM todos WHERE run_id = $1

-- name: usage
-- As the agent reported it; what was metered is in model_calls.
SELECT source, model, sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens, sum(cached_tokens)::bigint AS cached_tokens,
       sum(thought_tokens)::bigint AS thought_tokens, sum(cost_usd) AS cost_usd
FROM usage WHERE run_id = $1 GROUP BY source, model ORDER BY source, model
