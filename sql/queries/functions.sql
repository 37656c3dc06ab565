-- Asked by indexer/database/functions.py.

-- name: function
-- Our function $1, if it exists. Its comment should contain two hashes: of its file, and of its definition.
SELECT oid::regprocedure::text AS signature, obj_description(oid, 'pg_proc') AS comment,
       encode(sha256(convert_to(pg_get_functiondef(oid), 'UTF8')), 'hex') AS definition,
       proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0) AS public
FROM pg_proc
WHERE pronamespace IN (to_regnamespace('immich_indexer'), to_regnamespace('immich_indexer_2')) AND proname = $1;

-- name: in_reach
-- Whether everyone can call the functions in immich_indexer_2 that everyone may call.
SELECT has_schema_privilege('public', 'immich_indexer_2', 'USAGE');
