-- name: asked
-- The run that is to begin: where it stands in which line.
SELECT session_id, line_no, attempt FROM runs WHERE id = $1

-- name: told_before
-- Runs that stand from $5 on and before $2 in the line and whose agent heard of them, newest first. The beginnings of
-- long texts.
SELECT r.id, r.line_no, r.state::text AS state, r.created_at, p.reason, p.detail,
       left(p.prompt, $4) AS prompt, char_length(p.prompt) AS prompt_length,
       left(p.output, $4) AS output, char_length(p.output) AS output_length
FROM runs r JOIN run_payloads p ON p.run_id = r.id
WHERE r.session_id = $1 AND r.line_no < $2 AND r.line_no >= $5 AND r.started_at IS NOT NULL
ORDER BY r.line_no DESC LIMIT $3

-- name: count_before
SELECT count(*) FROM runs
WHERE session_id = $1 AND line_no < $2 AND line_no >= $3 AND started_at IS NOT NULL

-- name: page_back
-- Of one run, before seq $3 and of attempts before $4: what is told of the kinds $5, newest first; at most $6 rows and
-- about $7 bytes, always one row if there is one. Of updates to a tool call those that say its title.
SELECT seq, kind, payload, size_so_far
FROM (
  SELECT page.*, sum(octet_length(payload)) OVER (ORDER BY seq DESC) AS size_so_far
  FROM (SELECT seq, kind, payload FROM events
        WHERE stream_id = $1 AND run_id = $2 AND seq < $3 AND attempt < $4 AND kind = ANY($5)
          AND (kind <> 'tool.update' OR payload NOT LIKE '%"title":null%')
        ORDER BY seq DESC LIMIT $6) AS page
) AS measured
WHERE size_so_far - octet_length(payload) < $7::bigint
ORDER BY seq DESC

-- name: page_on
-- Of the runs from $2 to $3 in the line, behind seq $4 and up to $5 of the last of them: what is of the kinds $6,
-- oldest first, at most $7.
SELECT e.seq, e.session_id, e.run_id, e.attempt, e.epoch, e.kind, e.payload, e.trace_id, e.at
FROM events e JOIN runs r ON r.id = e.run_id
WHERE e.stream_id = $1 AND e.seq > $4 AND r.line_no BETWEEN $2 AND $3 AND r.started_at IS NOT NULL
  AND ($5::bigint IS NULL OR r.line_no < $3 OR e.seq <= $5) AND e.kind = ANY($6::text[])
ORDER BY e.seq LIMIT $7
