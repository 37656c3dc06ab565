-- Asked by indexer/work/downloads.py: the progress of downloads of weights by living workers, in one row of `state` for all.

-- name: tell
-- Worker $1 downloads $2, a list. Entries of workers that no longer exist are deleted.
INSERT INTO immich_indexer.state AS s (key, value) VALUES ('weights', jsonb_build_object($1::text, $2::jsonb))
ON CONFLICT (key) DO UPDATE SET value = excluded.value || coalesce(
    (SELECT jsonb_object_agg(told.key, told.value) FROM jsonb_each(s.value) AS told
     WHERE told.key <> $1 AND told.key IN (SELECT id::text FROM immich_indexer.worker)), '{}');

-- name: told
-- What is missing, with the progress of the worker that has most of it.
SELECT DISTINCT ON (one->>'model') one
FROM immich_indexer.state s, jsonb_each(s.value) AS told, jsonb_array_elements(told.value) AS one
WHERE s.key = 'weights' AND told.key IN (SELECT id::text FROM immich_indexer.worker)
ORDER BY one->>'model', (one->>'arrived')::bigint DESC;
