-- Asked by indexer/work/crashes.py. A marker is a row of immich_indexer.state, with `started:` and the host as its key.

-- name: is_installed
SELECT to_regclass('immich_indexer.state') IS NOT NULL;

-- name: marker
SELECT value FROM immich_indexer.state WHERE key = 'started:' || $1;

-- name: start
-- Markers a month old belong to hosts that no longer exist: a container that is created again has another name.
WITH old AS (
    DELETE FROM immich_indexer.state
    WHERE key LIKE 'started:%' AND key <> 'started:' || $1 AND (value ->> 'started')::timestamptz < now() - interval '30 days'
)
INSERT INTO immich_indexer.state (key, value) VALUES ('started:' || $1, $2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: end
DELETE FROM immich_indexer.state WHERE key = 'started:' || $1 AND value -> 'pid' = to_jsonb($2::integer);

-- name: crashed
-- The markers of hosts whose indexer crashed less than a day ago, and that run now or started recently.
SELECT split_part(key, ':', 2) AS host, value FROM immich_indexer.state
WHERE key LIKE 'started:%' AND (value ->> 'crashes')::integer > 0
  AND (value ->> 'last')::timestamptz > now() - interval '1 day'
  AND ((value ->> 'started')::timestamptz > now() - interval '10 minutes'
       OR EXISTS (SELECT FROM immich_indexer.worker w WHERE split_part(w.name, ':', 1) = split_part(key, ':', 2)))
ORDER BY key;
