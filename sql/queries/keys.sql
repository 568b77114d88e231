-- name: insert
INSERT INTO api_keys (id, user_id, project_id, name, key_hash, rate_limit)
VALUES ($1, $2, $3, $4, $5, $6)

-- name: introspect
SELECT k.id, k.user_id, k.project_id, k.rate_limit, u.name
FROM api_keys k JOIN users u ON u.id = k.user_id
WHERE k.key_hash = $1 AND k.revoked_at IS NULL

-- name: get
SELECT id, user_id, project_id, name, rate_limit, created_at, revoked_at FROM api_keys WHERE id = $1

-- name: revoke
UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING id
