-- name: exists
SELECT EXISTS (SELECT FROM tasks WHERE project_id = $1 AND id = $2)

-- name: lock
-- Runs that refer to it may be inserted meanwhile.
SELECT state::text AS state, version FROM tasks WHERE id = $1 FOR NO KEY UPDATE

-- name: lock_project
-- Before task rows: whoever changes dependencies of a project takes turns.
SELECT id FROM streams WHERE id = $1 FOR UPDATE

-- name: insert
INSERT INTO tasks (id, project_id, title, description, session_id, agent, app_id, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: update
UPDATE tasks SET title = $2, description = $3, state = $4::task_state, version = version + 1,
                 updated_at = now()
WHERE id = $1

-- name: run
UPDATE tasks SET state = 'running', session_id = $2, last_run_id = $3, last_reason = NULL,
                 summary = '', version = version + 1, updated_at = now()
WHERE id = $1

-- name: missing
-- Which of these are no tasks of the project.
SELECT wanted.id FROM unnest($2::uuid[]) AS wanted (id)
WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.project_id = $1 AND t.id = wanted.id)

-- name: drop_dependencies
DELETE FROM task_dependencies WHERE task_id = $1

-- name: insert_dependencies
INSERT INTO task_dependencies (project_id, task_id, depends_on)
SELECT $1, $2, depends_on FROM unnest($3::uuid[]) AS new (depends_on)

-- name: reaches
-- Does one of $2, or what it depends on in any number of steps, depend on $1?
WITH RECURSIVE upstream (id) AS (
  SELECT unnest($2::uuid[])
  UNION
  SELECT d.depends_on FROM task_dependencies d JOIN upstream u ON d.task_id = u.id
)
SELECT EXISTS (SELECT FROM upstream WHERE id = $1)

-- name: undone
SELECT t.id, t.title, t.state::text AS state
FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on
WHERE d.task_id = $1 AND t.state <> 'done' ORDER BY t.id
