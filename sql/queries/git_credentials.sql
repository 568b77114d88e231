-- name: listed
SELECT project_id, host, username, sealed_token, created_at, updated_at
FROM git_credentials WHERE project_id = $1 ORDER BY host

-- name: find
SELECT project_id, host, username, sealed_token, created_at, updated_at
FROM git_credentials WHERE project_id = $1 AND host = $2

-- name: put
INSERT INTO git_credentials (project_id, host, username, sealed_token)
VALUES ($1, $2, $3, $4)
ON CONFLICT (project_id, host) DO UPDATE
SET username = excluded.username, sealed_token = excluded.sealed_token, updated_at = now()
RETURNING project_id, host, username, sealed_token, created_at, updated_at

-- name: remove
DELETE FROM git_credentials WHERE project_id = $1 AND host = $2 RETURNING host
