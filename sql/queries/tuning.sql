-- Asked by indexer/database/tuning.py.

-- name: database_settings
-- Settings stored for this database, for all roles.
SELECT unnest(setconfig) FROM pg_db_role_setting
WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND setrole = 0;

-- name: index
-- The index that Immich's smart search uses: its kind, and into how many lists VectorChord divides it. No row where it uses none: Immich
-- 3 sorts by a second key, and PostgreSQL before 17 can then only compare all vectors. (pg_get_indexdef would wait for a lock.)
SELECT amname AS kind, coalesce(substring(c.reloptions::text FROM 'lists = \[(\d+)')::integer, 1) AS lists
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am ON pg_am.oid = c.relam
WHERE i.indrelid = to_regclass('public.smart_search') AND amname IN ('hnsw', 'vchordrq')
  AND (current_setting('server_version_num')::int >= 170000 OR NOT EXISTS (
      SELECT FROM pg_attribute WHERE attrelid = 'public.asset'::regclass AND attname = 'duration' AND atttypid = 'int4'::regtype))
ORDER BY amname LIMIT 1;

-- name: may_alter_database
SELECT pg_has_role(current_user, datdba, 'USAGE') FROM pg_database WHERE datname = current_database();

-- name: remember
INSERT INTO immich_indexer.state (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: remembered
SELECT value FROM immich_indexer.state WHERE key = $1;
