-- name: rules
SELECT prefix, read::text, write::text FROM project_file_rules WHERE project_id = $1 ORDER BY prefix

-- name: clear_rules
DELETE FROM project_file_rules WHERE project_id = $1

-- name: insert_rules
INSERT INTO project_file_rules (project_id, prefix, read, write)
SELECT $1::uuid, prefix, read::member_role, write::member_role
FROM unnest($2::text[], $3::text[], $4::text[]) AS rule (prefix, read, write)

-- name: lock_project
-- Those who change a project's files take turns; whatever refers to the project goes on meanwhile.
SELECT id FROM projects WHERE id = $1 FOR NO KEY UPDATE

-- name: get
SELECT f.path, f.sha256, f.size, f.executable, f.updated_by, f.updated_at, o.key
FROM project_files f LEFT JOIN project_objects o ON o.project_id = f.project_id AND o.sha256 = f.sha256
WHERE f.project_id = $1 AND f.path = $2

-- name: get_many
SELECT path, sha256, size, executable, updated_by, updated_at
FROM project_files WHERE project_id = $1 AND path = ANY($2::text[]) ORDER BY path

-- name: children
SELECT path, sha256, size, executable, updated_by, updated_at
FROM project_files WHERE project_id = $1 AND parent = $2 AND path > $3
ORDER BY path LIMIT $4

-- name: levels
-- All in a directory and so many levels of those in it, each before what is in it.
SELECT path, sha256, size, executable, updated_by, updated_at
FROM project_files
WHERE project_id = $1 AND ($2 = '' OR (path > $2 || '/' AND path < $2 || '0')) AND path > $3
  AND length(path) - length(replace(path, '/', '')) < $5
ORDER BY path LIMIT $4

-- name: beneath
-- All in a directory, it left out: '0' comes right after '/'. Everything, where the directory is ''.
SELECT f.path, f.sha256, f.size, f.executable, f.updated_by, f.updated_at, o.key
FROM project_files f LEFT JOIN project_objects o ON o.project_id = f.project_id AND o.sha256 = f.sha256
WHERE f.project_id = $1 AND ($2 = '' OR (f.path > $2 || '/' AND f.path < $2 || '0')) AND f.path > $3
ORDER BY f.path LIMIT $4

-- name: named
-- Whose own name, without what is above it, holds the words (no words: any); with their keys.
SELECT f.path, f.sha256, f.size, f.executable, f.updated_by, f.updated_at, o.key
FROM project_files f LEFT JOIN project_objects o ON o.project_id = f.project_id AND o.sha256 = f.sha256
WHERE f.project_id = $1 AND ($2 = '' OR (f.path > $2 || '/' AND f.path < $2 || '0')) AND f.path > $3
  AND strpos(lower(substr(f.path COLLATE "default", CASE f.parent WHEN '' THEN 1 ELSE length(f.parent) + 2 END)), lower($5)) > 0
ORDER BY f.path LIMIT $4

-- name: use
SELECT count(*) AS entries, coalesce(sum(size), 0)::bigint AS bytes FROM project_files WHERE project_id = $1

-- name: in_the_way
-- Files where directories would have to be.
SELECT path FROM project_files WHERE project_id = $1 AND path = ANY($2::text[]) AND sha256 IS NOT NULL LIMIT 1

-- name: insert_directories
INSERT INTO project_files (project_id, path, parent, updated_by)
SELECT $1::uuid, path, parent, $4::uuid FROM unnest($2::text[], $3::text[]) AS directory (path, parent)
ON CONFLICT DO NOTHING

-- name: put
INSERT INTO project_files (project_id, path, parent, sha256, size, executable, updated_by)
SELECT $1::uuid, path, parent, sha256, size, executable, $7::uuid
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::boolean[]) AS file (path, parent, sha256, size, executable)
ON CONFLICT (project_id, path) DO UPDATE
SET sha256 = excluded.sha256, size = excluded.size, executable = excluded.executable,
    updated_by = excluded.updated_by, updated_at = now()

-- name: remove
DELETE FROM project_files
WHERE project_id = $1 AND (path = $2 OR (path > $2 || '/' AND path < $2 || '0')) RETURNING path

-- name: move
UPDATE project_files
SET path = $3 || substr(path, length($2) + 1),
    parent = CASE path WHEN $2 THEN $4 ELSE $3 || substr(parent, length($2) + 1) END,
    updated_by = $5, updated_at = now()
WHERE project_id = $1 AND (path = $2 OR (path > $2 || '/' AND path < $2 || '0')) RETURNING path
