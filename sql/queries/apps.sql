-- name: agent
SELECT agent FROM apps WHERE project_id = $1 AND id = $2

-- name: offers
-- What each manager said of its agents: by agent what is missing, empty when it can run there.
SELECT agents::text AS agents FROM managers

-- name: insert
INSERT INTO apps (id, project_id, name, agent, limits, worker_limits, egress, container, runtime_manifest)
VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7::jsonb, $8::jsonb, $9::jsonb)

-- name: lock
-- Two who change it take turns. Runs and sessions may refer to it meanwhile.
SELECT project_id FROM apps WHERE id = $1 FOR NO KEY UPDATE

-- name: update
UPDATE apps SET name = $2, agent = $3, limits = $4::jsonb, worker_limits = $5::jsonb, egress = $6::jsonb,
                container = $7::jsonb, runtime_manifest = $8::jsonb
WHERE id = $1
