-- Asked by indexer/work/clip_index.py.

-- name: state
-- The index on Immich's column: whether it is there, and valid; whether we may drop it (`ours`), or may have it dropped (`lent`, by the
-- function of role.sql); and how many rows there are.
SELECT i.indexrelid IS NOT NULL AS there, coalesce(i.indisvalid, false) AS valid, pg_has_role(t.relowner, 'USAGE') AS ours,
       coalesce(has_function_privilege(to_regprocedure('immich_indexer_index.put(text, boolean)'), 'EXECUTE'), false) AS lent,
       (SELECT count(*) FROM public.smart_search) AS rows
FROM pg_class t LEFT JOIN pg_index i ON i.indexrelid = to_regclass('public.clip_index')
WHERE t.oid = to_regclass('public.smart_search');

-- name: qualify
-- For this transaction, so that a definition names its operator class with the schema.
SET LOCAL search_path = pg_catalog;

-- name: remember
-- Before it is dropped.
INSERT INTO immich_indexer.state (key, value) SELECT 'clip_index', to_jsonb(pg_get_indexdef('public.clip_index'::regclass))
ON CONFLICT (key) DO UPDATE SET value = excluded.value
RETURNING value #>> '{}';

-- name: remembered
-- The definition of an index that we have dropped, and that has to be made again.
SELECT value #>> '{}' FROM immich_indexer.state WHERE key = 'clip_index';

-- name: forget
DELETE FROM immich_indexer.state WHERE key = 'clip_index';

-- name: put
-- Makes ($2) or drops the index with the definition $1, with the rights of Immich's role.
SELECT immich_indexer_index.put($1, $2);

-- name: alone
-- One at a time makes the index again.
SELECT pg_try_advisory_lock(lock(turn) + 2);
