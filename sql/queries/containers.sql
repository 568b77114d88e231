-- name: choices
-- What apps say of their sessions' containers, each once.
SELECT DISTINCT container::text AS container FROM apps WHERE container <> '{}'

-- name: offers
-- What managers grant. $1: only of those heard of in so many seconds; NULL: of all.
SELECT id, containers::text AS containers FROM managers
WHERE $1::float8 IS NULL OR last_seen_at > now() - make_interval(secs => $1)

-- name: unoffered
-- Runs that were queued for $1 seconds while a manager was there, and none of that time offers their agent and
-- grants the container that their app names. $3, $4: which managers do not grant which; a session that has a worker
-- has its container.
SELECT r.session_id, r.id FROM runs r
JOIN sessions s ON s.id = r.session_id
LEFT JOIN apps a ON a.id = s.app_id
WHERE r.state = 'queued' AND r.available_at < now() - make_interval(secs => $1)
  AND EXISTS (SELECT FROM managers m WHERE m.last_seen_at > now() - make_interval(secs => $1))
  AND NOT EXISTS (SELECT FROM managers m
                  WHERE m.last_seen_at > now() - make_interval(secs => $1)
                    AND m.agents ->> r.agent = ''
                    AND (NOT EXISTS (SELECT FROM unnest($3::uuid[], $4::text[]) AS refused (id, container)
                                     WHERE refused.id = m.id AND refused.container = a.container::text)
                         OR EXISTS (SELECT FROM session_workers w WHERE w.session_id = r.session_id
                                    AND w.released_at IS NULL AND w.superseded_at IS NULL)))
ORDER BY r.available_at LIMIT $2

-- name: of_offered_agent
-- What the app of session $1 says of its container, if a manager heard of in $2 seconds offers agent $3.
SELECT a.container::text FROM sessions s JOIN apps a ON a.id = s.app_id
WHERE s.id = $1 AND EXISTS (SELECT FROM managers m WHERE m.last_seen_at > now() - make_interval(secs => $2)
                            AND m.agents ->> $3 = '')
