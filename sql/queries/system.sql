-- name: queue
-- Put as the partial indexes are, so that what has ended is not read.
SELECT state::text AS state, count(*) AS count,
       extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest
FROM runs
WHERE (state = 'pending' OR state = 'queued' OR state IN ('claimed', 'running', 'waiting'))
  AND project_id = ANY($1::uuid[])
GROUP BY state

-- name: queued
-- Runs that nobody has taken up, counted no further than $1.
SELECT count(*) FROM (SELECT FROM runs WHERE state = 'queued' LIMIT $1) AS counted

-- name: outbox
SELECT count(*) FROM outbox WHERE project_id = ANY($1::uuid[])

-- name: managers
SELECT m.id, m.name, m.backend, m.incarnation, least(m.max_workers, m.wanted_workers) AS max_workers,
       m.draining OR m.wanted_draining AS draining, m.agents::text AS agents,
       m.url, m.isolation::text AS isolation,
       extract(epoch FROM clock_timestamp() - m.last_seen_at)::float8 AS last_seen_seconds,
       (SELECT count(*) FROM session_workers w
        WHERE w.manager_id = m.id AND w.removed_at IS NULL) AS workers
FROM managers m ORDER BY m.name, m.id

-- name: workers
SELECT state::text AS state, count(*) AS count FROM session_workers
WHERE removed_at IS NULL AND project_id = ANY($1::uuid[]) GROUP BY state
