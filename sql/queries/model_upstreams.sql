-- name: listed
-- In the order in which they were made: the first one's first model is what runs without a model get.
SELECT project_id, name, url, formats, models, auth, sealed_key, created_at, updated_at
FROM model_upstreams WHERE project_id = $1 ORDER BY created_at, name

-- name: lock
-- A second writer waits for the first, and then sees what that one wrote.
SELECT project_id, name, url, formats, models, auth, sealed_key, created_at, updated_at
FROM model_upstreams WHERE project_id = $1 AND name = $2 FOR UPDATE

-- name: put
INSERT INTO model_upstreams (project_id, name, url, formats, models, auth, sealed_key)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (project_id, name) DO UPDATE
SET url = excluded.url, formats = excluded.formats, models = excluded.models, auth = excluded.auth,
    sealed_key = excluded.sealed_key, updated_at = now()
RETURNING project_id, name, url, formats, models, auth, sealed_key, created_at, updated_at

-- name: remove
DELETE FROM model_upstreams WHERE project_id = $1 AND name = $2 RETURNING name
