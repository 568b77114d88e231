-- name: agent
SELECT agent FROM apps WHERE project_id = $1 AND id = $2

-- name: offers
-- What each manager said of its agents: by agent what is missing, empty when it can run there.
SELECT agents::text AS agents FROM managers

-- name: insert
INSERT INTO apps (id, project_id, name, agent, limits) VALUES ($1, $2, $3, $4, $5::jsonb)
