-- name: memberships
-- Who a caller is to the installation and to each project, and whether the key was revoked since it was signed.
SELECT k.revoked, k.administrator, m.project_id, m.role::text AS role
FROM (SELECT EXISTS (SELECT FROM api_keys WHERE id = $2 AND revoked_at IS NOT NULL) AS revoked,
             EXISTS (SELECT FROM users WHERE id = $1 AND administrator) AS administrator) AS k
LEFT JOIN memberships m ON m.user_id = $1

-- name: project_of_session
SELECT project_id FROM sessions WHERE id = $1

-- name: project_of_run
SELECT project_id FROM runs WHERE id = $1

-- name: project_of_task
SELECT project_id FROM tasks WHERE id = $1

-- name: project_of_request
SELECT project_id FROM human_loop_requests WHERE id = $1

-- name: project_of_project
SELECT id AS project_id FROM projects WHERE id = $1

-- name: project_of_app
SELECT project_id FROM apps WHERE id = $1

-- name: project_of_job
SELECT project_id FROM jobs WHERE id = $1

-- name: worker_by_token
-- By its present token or by the former one, which is good until the present one was used.
SELECT id, session_id, project_id, manager_id, epoch, superseded_at IS NOT NULL AS superseded,
       released_at IS NOT NULL AS released, token_hash = $2 AS present,
       former_token_hash IS NOT NULL AS has_former
FROM session_workers
WHERE id = $1 AND (token_hash = $2 OR former_token_hash = $2) AND removed_at IS NULL

-- name: forget_former_token
UPDATE session_workers SET former_token_hash = NULL
WHERE id = $1 AND token_hash = $2 AND former_token_hash IS NOT NULL
