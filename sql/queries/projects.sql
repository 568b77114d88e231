-- name: insert
INSERT INTO projects (id, name) VALUES ($1, $2)

-- name: insert_stream
-- A project's stream has the project's id.
INSERT INTO streams (id, kind, project_id) VALUES ($1, 'project', $1)

-- name: by_name
SELECT id FROM projects WHERE name = $1 ORDER BY created_at, id LIMIT 1

-- name: user_by_name
SELECT id FROM users WHERE name = $1 ORDER BY created_at, id LIMIT 1

-- name: insert_user
INSERT INTO users (id, name) VALUES ($1, $2)

-- name: has_user
SELECT EXISTS (SELECT FROM users WHERE id = $1)

-- name: put_member
INSERT INTO memberships (project_id, user_id, role) VALUES ($1, $2, $3::member_role)
ON CONFLICT (project_id, user_id) DO UPDATE SET role = excluded.role

-- name: remove_member
DELETE FROM memberships WHERE project_id = $1 AND user_id = $2 RETURNING user_id

-- name: lock_owners
-- Two owners who demote each other take turns.
SELECT user_id FROM memberships WHERE project_id = $1 AND role = 'owner' ORDER BY user_id FOR UPDATE

-- name: lock_bootstrap
SELECT pg_advisory_xact_lock(hashtext('berth.bootstrap'))
