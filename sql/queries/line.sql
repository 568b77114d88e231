-- name: session_of_run
SELECT session_id FROM runs WHERE id = $1

-- name: asked
-- What a run was asked.
SELECT r.session_id, r.task_id, r.state::text AS state, p.prompt, p.options
FROM runs r JOIN run_payloads p ON p.run_id = r.id WHERE r.id = $1

-- name: candidates
-- Sessions whose head may be claimed by manager $1, fair between projects: by priority, then by how much of a
-- project is live or stands before it, then by age. A loose index scan finds the projects that have queued runs.
-- What would need one worker more than its project or its user may have stands in nobody's way. $5: what apps say
-- of containers that this manager does not grant.
WITH RECURSIVE waiting AS (
  (SELECT project_id FROM runs WHERE state = 'queued' ORDER BY project_id LIMIT 1)
  UNION ALL
  SELECT (SELECT r.project_id FROM runs r
          WHERE r.state = 'queued' AND r.project_id > w.project_id
          ORDER BY r.project_id LIMIT 1)
  FROM waiting w WHERE w.project_id IS NOT NULL
),
live AS (
  SELECT project_id, count(*) AS runs FROM runs
  WHERE state IN ('claimed', 'running', 'waiting') GROUP BY project_id
),
full_projects AS MATERIALIZED (
  SELECT w.project_id AS id
  FROM waiting w
  JOIN projects p ON p.id = w.project_id
  LEFT JOIN default_limits d ON d.subject = 'project'
  WHERE coalesce(p.max_workers, d.max_workers) <=
        (SELECT count(*) FROM session_workers s WHERE s.project_id = w.project_id
         AND s.released_at IS NULL AND s.superseded_at IS NULL)
),
full_users AS MATERIALIZED (
  SELECT u.id FROM users u
  WHERE u.max_workers IS NOT NULL
    AND u.max_workers <= (SELECT count(*) FROM session_workers s WHERE s.user_id = u.id
                          AND s.released_at IS NULL AND s.superseded_at IS NULL)
  UNION ALL
  SELECT s.user_id
  FROM default_limits d
  JOIN session_workers s ON s.released_at IS NULL AND s.superseded_at IS NULL
  JOIN users u ON u.id = s.user_id AND u.max_workers IS NULL
  WHERE d.subject = 'user' AND d.max_workers IS NOT NULL
  GROUP BY s.user_id, d.max_workers HAVING count(*) >= d.max_workers
)
SELECT c.session_id
FROM waiting w
CROSS JOIN LATERAL (
  SELECT r.id, r.session_id, r.priority, r.available_at,
         row_number() OVER (ORDER BY r.priority, r.available_at, r.id) AS place
  FROM runs r
  LEFT JOIN session_workers s ON s.session_id = r.session_id
        AND s.released_at IS NULL AND s.superseded_at IS NULL
  WHERE r.project_id = w.project_id AND r.state = 'queued' AND r.available_at <= now()
    AND r.agent = ANY($2::text[])
    AND CASE WHEN s.id IS NULL
             THEN $3::bool AND NOT EXISTS (SELECT FROM full_projects f WHERE f.id = r.project_id)
                  AND NOT EXISTS (SELECT FROM full_users f WHERE f.id = r.user_id)
                  AND CASE WHEN cardinality($5::text[]) = 0 THEN true
                           ELSE NOT EXISTS (SELECT FROM sessions o JOIN apps a ON a.id = o.app_id
                                            WHERE o.id = r.session_id AND a.container::text = ANY($5)) END
             ELSE s.manager_id = $1 AND s.stop_requested_at IS NULL END
  ORDER BY r.priority, r.available_at, r.id
  LIMIT $4
) AS c
LEFT JOIN live l ON l.project_id = w.project_id
WHERE w.project_id IS NOT NULL
ORDER BY c.priority, c.place + coalesce(l.runs, 0), c.available_at, c.id
LIMIT $4

-- name: payloads
SELECT p.run_id, p.prompt, p.options, p.traceparent, a.limits::text AS app_limits,
       s.worker_limits::text AS own_worker_limits, a.worker_limits::text AS app_worker_limits,
       coalesce(nullif(a.egress, '{}'), o.egress)::text AS egress, a.container::text AS container
FROM run_payloads p
JOIN runs r ON r.id = p.run_id
JOIN sessions s ON s.id = r.session_id
JOIN projects o ON o.id = s.project_id
LEFT JOIN apps a ON a.id = s.app_id
WHERE p.run_id = ANY($1::uuid[])

-- name: claimed
-- What a claim that is repeated was given: its runs that are still claimed in it.
SELECT r.id AS run_id, r.attempt, r.session_id, r.project_id, w.id AS worker_id, w.epoch,
       w.state::text AS worker_state, w.limits::text AS limits, p.traceparent,
       coalesce(nullif(a.egress, '{}'), o.egress)::text AS egress, a.container::text AS container
FROM runs r
JOIN session_workers w ON w.id = r.worker_id
JOIN run_payloads p ON p.run_id = r.id
JOIN sessions s ON s.id = r.session_id
JOIN projects o ON o.id = s.project_id
LEFT JOIN apps a ON a.id = s.app_id
WHERE r.claim_id = $1 AND w.manager_id = $2 AND w.released_at IS NULL AND w.superseded_at IS NULL
ORDER BY w.id
