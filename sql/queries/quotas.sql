-- name: limited
-- Which of projects $1 and users $2 have a limit of workers; a hint, before their rows are locked.
SELECT p.id FROM projects p LEFT JOIN default_limits d ON d.subject = 'project'
WHERE p.id = ANY($1::uuid[]) AND coalesce(p.max_workers, d.max_workers) IS NOT NULL
UNION ALL
SELECT u.id FROM users u LEFT JOIN default_limits d ON d.subject = 'user'
WHERE u.id = ANY($2::uuid[]) AND coalesce(u.max_workers, d.max_workers) IS NOT NULL

-- name: bounded
-- Whether project $1 or user $2 has any limit; a hint, as above.
SELECT EXISTS (
  SELECT FROM projects p LEFT JOIN default_limits d ON d.subject = 'project'
  WHERE p.id = $1 AND coalesce(p.max_workers, p.max_queued, p.runs_per_hour,
                               d.max_workers, d.max_queued, d.runs_per_hour) IS NOT NULL
) OR EXISTS (
  SELECT FROM users u LEFT JOIN default_limits d ON d.subject = 'user'
  WHERE u.id = $2 AND coalesce(u.max_workers, u.max_queued, u.runs_per_hour,
                               d.max_workers, d.max_queued, d.runs_per_hour) IS NOT NULL
)

-- name: lock_projects
-- Behind sessions' streams and rows, before users: whoever makes more of what is counted takes turns. Whatever
-- makes less of it, as reports do, needs no turn. Rows that refer to a project are inserted meanwhile.
SELECT id FROM projects WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE

-- name: lock_users
-- Behind projects, the last of all locks.
SELECT id FROM users WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE

-- name: rooms
-- After the locks, in a statement of its own: how many more workers may be made.
SELECT p.id, coalesce(p.max_workers, d.max_workers) -
             (SELECT count(*) FROM session_workers w
              WHERE w.project_id = p.id AND w.released_at IS NULL AND w.superseded_at IS NULL)::int AS room
FROM projects p LEFT JOIN default_limits d ON d.subject = 'project'
WHERE p.id = ANY($1::uuid[]) AND coalesce(p.max_workers, d.max_workers) IS NOT NULL
UNION ALL
SELECT u.id, coalesce(u.max_workers, d.max_workers) -
             (SELECT count(*) FROM session_workers w
              WHERE w.user_id = u.id AND w.released_at IS NULL AND w.superseded_at IS NULL)::int
FROM users u LEFT JOIN default_limits d ON d.subject = 'user'
WHERE u.id = ANY($2::uuid[]) AND coalesce(u.max_workers, d.max_workers) IS NOT NULL

-- name: use_of_project
-- What is in force, its own, what is used of it; `unserved`: queued runs without a worker, counted no further than
-- the limit of workers. `full_for`: seconds until one more may be started, NULL while it may.
SELECT p.id, 'project' AS subject, f.max_workers, f.max_queued, f.runs_per_hour,
       p.max_workers AS own_max_workers, p.max_queued AS own_max_queued, p.runs_per_hour AS own_runs_per_hour,
       (SELECT count(*) FROM session_workers w
        WHERE w.project_id = p.id AND w.released_at IS NULL AND w.superseded_at IS NULL)::int AS workers,
       ((SELECT count(*) FROM runs r WHERE r.project_id = p.id AND r.state = 'queued')
        + (SELECT count(*) FROM runs r WHERE r.project_id = p.id AND r.state = 'pending'))::int AS queued,
       (SELECT count(*) FROM (
          SELECT FROM runs r WHERE r.project_id = p.id AND r.state = 'queued'
            AND NOT EXISTS (SELECT FROM session_workers w WHERE w.session_id = r.session_id
                            AND w.released_at IS NULL AND w.superseded_at IS NULL)
          LIMIT coalesce(f.max_workers, 0)) AS u)::int AS unserved,
       (SELECT count(*) FROM run_starts s
        WHERE s.subject_id = p.id AND s.at > clock_timestamp() - interval '1 hour')::int AS started,
       (SELECT extract(epoch FROM s.at + interval '1 hour' - clock_timestamp())::float8 FROM run_starts s
        WHERE s.subject_id = p.id AND s.at > clock_timestamp() - interval '1 hour'
        ORDER BY s.at DESC OFFSET coalesce(f.runs_per_hour, 1) - 1 LIMIT 1) AS full_for
FROM projects p
LEFT JOIN default_limits d ON d.subject = 'project'
CROSS JOIN LATERAL (SELECT coalesce(p.max_workers, d.max_workers) AS max_workers,
                           coalesce(p.max_queued, d.max_queued) AS max_queued,
                           coalesce(p.runs_per_hour, d.runs_per_hour) AS runs_per_hour) AS f
WHERE p.id = $1

-- name: use_of_user
-- As use_of_project, of a user in all projects together.
SELECT p.id, 'user' AS subject, f.max_workers, f.max_queued, f.runs_per_hour,
       p.max_workers AS own_max_workers, p.max_queued AS own_max_queued, p.runs_per_hour AS own_runs_per_hour,
       (SELECT count(*) FROM session_workers w
        WHERE w.user_id = p.id AND w.released_at IS NULL AND w.superseded_at IS NULL)::int AS workers,
       (SELECT count(*) FROM runs r
        WHERE r.user_id = p.id AND r.state IN ('pending', 'queued'))::int AS queued,
       (SELECT count(*) FROM (
          SELECT FROM runs r WHERE r.user_id = p.id AND r.state IN ('pending', 'queued') AND r.state = 'queued'
            AND NOT EXISTS (SELECT FROM session_workers w WHERE w.session_id = r.session_id
                            AND w.released_at IS NULL AND w.superseded_at IS NULL)
          LIMIT coalesce(f.max_workers, 0)) AS u)::int AS unserved,
       (SELECT count(*) FROM run_starts s
        WHERE s.subject_id = p.id AND s.at > clock_timestamp() - interval '1 hour')::int AS started,
       (SELECT extract(epoch FROM s.at + interval '1 hour' - clock_timestamp())::float8 FROM run_starts s
        WHERE s.subject_id = p.id AND s.at > clock_timestamp() - interval '1 hour'
        ORDER BY s.at DESC OFFSET coalesce(f.runs_per_hour, 1) - 1 LIMIT 1) AS full_for
FROM users p
LEFT JOIN default_limits d ON d.subject = 'user'
CROSS JOIN LATERAL (SELECT coalesce(p.max_workers, d.max_workers) AS max_workers,
                           coalesce(p.max_queued, d.max_queued) AS max_queued,
                           coalesce(p.runs_per_hour, d.runs_per_hour) AS runs_per_hour) AS f
WHERE p.id = $1

-- name: note_start
-- Under the subject's lock; what no hour holds any more is forgotten with it.
WITH past AS (
  DELETE FROM run_starts WHERE subject_id = $1 AND at < clock_timestamp() - interval '1 hour'
)
INSERT INTO run_starts (subject_id, run_id) VALUES ($1, $2)

-- name: set_project
UPDATE projects SET max_workers = $2, max_queued = $3, runs_per_hour = $4 WHERE id = $1

-- name: set_user
UPDATE users SET max_workers = $2, max_queued = $3, runs_per_hour = $4 WHERE id = $1

-- name: set_default
INSERT INTO default_limits (subject, max_workers, max_queued, runs_per_hour) VALUES ($1, $2, $3, $4)
ON CONFLICT (subject) DO UPDATE SET max_workers = excluded.max_workers, max_queued = excluded.max_queued,
                                    runs_per_hour = excluded.runs_per_hour

-- name: defaults
SELECT subject, max_workers, max_queued, runs_per_hour FROM default_limits

-- name: lock_defaults
SELECT subject, max_workers, max_queued, runs_per_hour FROM default_limits ORDER BY subject FOR UPDATE

-- name: waits_for
-- Whose limit of workers a queued run waits for: its project's, else its user's; no row: for none. $1: the run.
SELECT CASE
  WHEN coalesce(p.max_workers, dp.max_workers) <=
       (SELECT count(*) FROM session_workers w WHERE w.project_id = r.project_id
        AND w.released_at IS NULL AND w.superseded_at IS NULL) THEN 'project'
  WHEN coalesce(u.max_workers, du.max_workers) <=
       (SELECT count(*) FROM session_workers w WHERE w.user_id = r.user_id
        AND w.released_at IS NULL AND w.superseded_at IS NULL) THEN 'user'
  END AS subject
FROM runs r
JOIN projects p ON p.id = r.project_id
LEFT JOIN default_limits dp ON dp.subject = 'project'
LEFT JOIN default_limits du ON du.subject = 'user'
LEFT JOIN users u ON u.id = r.user_id
WHERE r.id = $1 AND r.state = 'queued' AND r.available_at <= clock_timestamp()
  AND NOT EXISTS (SELECT FROM session_workers w WHERE w.session_id = r.session_id
                  AND w.released_at IS NULL AND w.superseded_at IS NULL)

-- name: in_the_way
-- Sessions whose workers have had nothing to do for $1 seconds, of projects and users that are at their limit of
-- workers while runs wait for one more: as many as wait, the longest idle first. A hint; at most $2.
WITH full_ones AS MATERIALIZED (
  SELECT p.id, coalesce(p.max_workers, d.max_workers) AS allowed,
         (SELECT count(*) FROM runs r WHERE r.project_id = p.id AND r.state = 'queued' AND r.available_at <= now()
          AND NOT EXISTS (SELECT FROM session_workers w WHERE w.session_id = r.session_id
                          AND w.released_at IS NULL AND w.superseded_at IS NULL)) AS wanted
  FROM projects p LEFT JOIN default_limits d ON d.subject = 'project'
  WHERE coalesce(p.max_workers, d.max_workers) IS NOT NULL
    AND EXISTS (SELECT FROM runs r WHERE r.project_id = p.id AND r.state = 'queued')
  UNION ALL
  SELECT u.id, coalesce(u.max_workers, d.max_workers),
         (SELECT count(*) FROM runs r WHERE r.user_id = u.id AND r.state IN ('pending', 'queued')
          AND r.state = 'queued' AND r.available_at <= now()
          AND NOT EXISTS (SELECT FROM session_workers w WHERE w.session_id = r.session_id
                          AND w.released_at IS NULL AND w.superseded_at IS NULL))
  FROM users u LEFT JOIN default_limits d ON d.subject = 'user'
  WHERE coalesce(u.max_workers, d.max_workers) IS NOT NULL
    AND EXISTS (SELECT FROM runs r WHERE r.user_id = u.id AND r.state IN ('pending', 'queued'))
)
SELECT DISTINCT i.session_id, i.worker_id
FROM full_ones f
CROSS JOIN LATERAL (
  SELECT count(*) AS workers, count(w.stop_requested_at) AS stopping
  FROM session_workers w
  WHERE (w.project_id = f.id OR w.user_id = f.id) AND w.released_at IS NULL AND w.superseded_at IS NULL
) AS there
CROSS JOIN LATERAL (
  SELECT w.session_id, w.id AS worker_id
  FROM session_workers w JOIN sessions s ON s.id = w.session_id
  WHERE (w.project_id = f.id OR w.user_id = f.id) AND w.released_at IS NULL AND w.superseded_at IS NULL
    AND w.stop_requested_at IS NULL AND NOT w.pinned AND NOT s.keep_warm
    AND w.idle_since < clock_timestamp() - make_interval(secs => $1)
    AND NOT EXISTS (SELECT FROM runs r WHERE r.session_id = w.session_id
                    AND r.state IN ('queued', 'claimed', 'running', 'waiting'))
  ORDER BY w.idle_since
  LIMIT greatest(f.wanted - there.stopping, 0)
) AS i
WHERE f.wanted > 0 AND there.workers >= f.allowed
LIMIT $2
