-- name: of_session
SELECT a.runtime_manifest::text
FROM sessions s JOIN apps a ON a.id = s.app_id AND a.project_id = s.project_id
WHERE s.id = $1

-- name: of_app
SELECT runtime_manifest::text FROM apps WHERE project_id = $1 AND id = $2

-- name: image
-- Of the app, else of the session's app.
SELECT container->>'image' FROM apps
WHERE id = coalesce($2::uuid, (SELECT app_id FROM sessions WHERE id = $1::uuid))
