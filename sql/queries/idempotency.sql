-- name: claim
-- Waits for whoever holds the same key until it commits; then no row comes back.
INSERT INTO idempotency_keys (user_id, key, request_hash, status, answer)
VALUES ($1, $2, $3, 0, '') ON CONFLICT DO NOTHING RETURNING key

-- name: kept
SELECT request_hash, answer FROM idempotency_keys WHERE user_id = $1 AND key = $2

-- name: keep
UPDATE idempotency_keys SET status = $3, answer = $4 WHERE user_id = $1 AND key = $2

-- name: expire
DELETE FROM idempotency_keys WHERE ctid IN (
  SELECT ctid FROM idempotency_keys WHERE created_at < now() - make_interval(hours => $1) LIMIT $2)
