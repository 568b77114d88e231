-- name: stale_runs
-- Sessions with a live run whose worker is not its session's, or idle for $1 seconds; a hint, judged under the locks.
SELECT r.session_id
FROM runs r
LEFT JOIN session_workers w ON w.id = r.worker_id AND w.released_at IS NULL AND w.superseded_at IS NULL
WHERE r.state IN ('claimed', 'running', 'waiting') AND (r.worker_id IS NOT NULL OR r.state <> 'waiting')
  AND (w.id IS NULL OR w.idle_since < clock_timestamp() - make_interval(secs => $1))
ORDER BY r.id LIMIT $2

-- name: stale_heads
-- Of sessions $1, under their locks: live runs, parked ones apart, and what is wrong with each. Forgotten: when its
-- worker was heard last, a lease of $2 seconds ends then, it had been idle for half of that, and so long had no
-- command to start a run been open or just taken.
SELECT r.session_id, r.id AS run_id, coalesce(r.cancel_deadline < clock_timestamp(), false) AS overdue,
       w.id IS NULL AS orphaned,
       coalesce(w.idle_since < heard.at - make_interval(secs => $2 / 2), false)
         AND EXISTS (SELECT FROM commands c WHERE c.worker_id = w.id AND c.type = 'start')
         AND NOT EXISTS (SELECT FROM commands c WHERE c.worker_id = w.id AND c.type = 'start'
                         AND (c.done_at IS NULL OR c.done_at > heard.at - make_interval(secs => $2 / 2)))
         AS forgotten
FROM runs r
LEFT JOIN session_workers w ON w.id = r.worker_id AND w.released_at IS NULL AND w.superseded_at IS NULL
CROSS JOIN LATERAL (SELECT w.lease_until - make_interval(secs => $2) AS at) AS heard
WHERE r.session_id = ANY($1::uuid[]) AND r.state IN ('claimed', 'running', 'waiting')
  AND (r.worker_id IS NOT NULL OR r.state <> 'waiting')

-- name: may_reclaim
-- As workers.tick decides it, without recording that somebody looked.
SELECT resume_at <= clock_timestamp() AND clock_timestamp() - ticked_at <= make_interval(secs => $1)
FROM loop_ticks WHERE name = 'reclaim'

-- name: unsaved_too_long
-- Current workers that wrote $1 seconds ago, have not saved since, and were not asked to for as long.
SELECT w.session_id, w.id FROM session_workers w
WHERE w.unsaved_since < now() - make_interval(secs => $1)
  AND w.released_at IS NULL AND w.superseded_at IS NULL AND w.stop_requested_at IS NULL
  AND NOT EXISTS (SELECT FROM commands c WHERE c.worker_id = w.id AND c.type = 'sync'
                  AND (c.done_at IS NULL OR c.created_at > now() - make_interval(secs => $1)))
ORDER BY w.unsaved_since LIMIT $2
