-- name: stream
-- What a reader of a stream starts from.
SELECT project_id, first_seq, last_seq FROM streams WHERE id = $1

-- name: last_seqs
SELECT id, last_seq FROM streams WHERE id = ANY($1::uuid[])

-- name: run_stream
-- A run's stream is its session's, filtered. State and last_seq are of one snapshot: of a run that is over nothing
-- stands behind that last_seq.
SELECT s.id AS stream_id, s.project_id, s.first_seq, s.last_seq, r.line_no,
       r.state IN ('succeeded', 'failed', 'blocked', 'canceled') AS over
FROM runs r JOIN streams s ON s.id = r.session_id
WHERE r.id = $1

-- name: page_of_stream
-- Behind $2, at most $3 rows and about $4 bytes; always one row if there is one.
SELECT seq, session_id, run_id, attempt, epoch, kind, payload, trace_id, at, size_so_far
FROM (
  SELECT page.*, sum(octet_length(payload)) OVER (ORDER BY seq) AS size_so_far
  FROM (SELECT seq, session_id, run_id, attempt, epoch, kind, payload, trace_id, at FROM events
        WHERE stream_id = $1 AND seq > $2 ORDER BY seq LIMIT $3) AS page
) AS measured
WHERE size_so_far - octet_length(payload) < $4::bigint
ORDER BY seq

-- name: page_of_run
-- The same, of one run.
SELECT seq, session_id, run_id, attempt, epoch, kind, payload, trace_id, at, size_so_far
FROM (
  SELECT page.*, sum(octet_length(payload)) OVER (ORDER BY seq) AS size_so_far
  FROM (SELECT seq, session_id, run_id, attempt, epoch, kind, payload, trace_id, at FROM events
        WHERE stream_id = $1 AND run_id = $5 AND seq > $2 ORDER BY seq LIMIT $3) AS page
) AS measured
WHERE size_so_far - octet_length(payload) < $4::bigint
ORDER BY seq

-- name: list_of_stream
-- For a page of the API: behind $2, of the kinds $3 (NULL: all), at most $4 rows; $5: with the payload.
SELECT seq, session_id, run_id, attempt, epoch, kind, CASE WHEN $5 THEN payload END AS payload, trace_id, at
FROM events
WHERE stream_id = $1 AND seq > $2 AND ($3::text[] IS NULL OR kind = ANY($3))
ORDER BY seq LIMIT $4

-- name: list_of_run
-- The same, of one run.
SELECT seq, session_id, run_id, attempt, epoch, kind, CASE WHEN $5 THEN payload END AS payload, trace_id, at
FROM events
WHERE stream_id = $1 AND run_id = $6 AND seq > $2 AND ($3::text[] IS NULL OR kind = ANY($3))
ORDER BY seq LIMIT $4

-- name: before_last_of_stream
-- The position from which the last $2 events follow.
SELECT min(seq) - 1 FROM (
  SELECT seq FROM events WHERE stream_id = $1 ORDER BY seq DESC LIMIT $2
) AS last

-- name: before_last_of_run
SELECT min(seq) - 1 FROM (
  SELECT seq FROM events WHERE stream_id = $1 AND run_id = $3 ORDER BY seq DESC LIMIT $2
) AS last

-- name: append_to_project
-- Under the lock of the project's stream, with consecutive seq; `at` is when it happened.
INSERT INTO events
  (stream_id, seq, project_id, session_id, run_id, attempt, kind, payload, trace_id, at)
SELECT stream_id, seq, stream_id, session_id, run_id, attempt, kind, payload, trace_id, at
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::text[],
            $8::text[], $9::timestamptz[])
  AS new (stream_id, seq, session_id, run_id, attempt, kind, payload, trace_id, at)
