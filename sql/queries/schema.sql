-- Asked by indexer/database/schema.py.

-- name: applied
-- The installed versions of our schema. The caller asks only if the table exists.
SELECT version FROM immich_indexer.migration ORDER BY version;

-- name: trigger_definition
-- The trigger $2 of table $1 in public, as PostgreSQL prints it. No row if it is missing or disabled.
SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t
WHERE t.tgrelid = to_regclass('public.' || quote_ident($1)) AND t.tgname = $2 AND t.tgenabled = 'O' AND NOT t.tgisinternal;

-- name: immich_owner
-- The role that owns Immich's tables. Immich dumps and restores as this role.
SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('public.asset');

-- name: vector_schema
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector';

-- name: extension_versions
SELECT name, installed_version, default_version FROM pg_available_extensions WHERE name IN ('vector', 'zhparser', 'vchord');

-- name: vector_width
-- The width of Immich's vector column. -1 where it has none, no row where there is no such column.
SELECT atttypmod FROM pg_attribute
WHERE attrelid = to_regclass('public.smart_search') AND attname = 'embedding' AND NOT attisdropped;

-- name: tables_present
SELECT t AS name, to_regclass('public.' || quote_ident(t)) IS NOT NULL AS present FROM unnest($1::text[]) t;

-- name: immich_generation
-- Immich 3 made the duration of a video a number.
SELECT CASE WHEN atttypid = 'int4'::regtype THEN '3' ELSE '2' END FROM pg_attribute
WHERE attrelid = 'public.asset'::regclass AND attname = 'duration';

-- name: unreadable_schemas
-- Our schemas that role $1 cannot dump, quoted, with the role, quoted.
SELECT quote_ident(nspname) AS schema, quote_ident($1) AS role FROM pg_namespace n
WHERE nspname ~ '^immich_indexer(_\d+)?$'
  AND NOT (has_schema_privilege($1, n.oid, 'USAGE') AND NOT EXISTS (
      SELECT FROM pg_class WHERE relnamespace = n.oid AND relkind = 'r' AND NOT has_table_privilege($1, oid, 'SELECT')));

-- name: running
-- Indexers seen in the last $1 seconds.
SELECT name FROM immich_indexer.worker WHERE seen_at > clock_timestamp() - make_interval(secs => $1) ORDER BY name;

-- name: left_behind
-- Our rows in Immich's own tables. They stay after uninstall.
SELECT (SELECT count(*) FROM immich_indexer.photo p JOIN public.smart_search s ON s."assetId" = p.asset_id
            WHERE p.clip IS NOT NULL OR EXISTS (SELECT FROM immich_indexer_3.vector v WHERE v.asset_id = p.asset_id)) AS vectors,
       (SELECT count(*) FROM immich_indexer.photo p WHERE p.lines IS NOT NULL
            AND EXISTS (SELECT FROM public.asset_ocr o WHERE o."assetId" = p.asset_id)) AS texts;

-- name: is_whole
-- Whether our columns still exist: dropping schema public also drops them (see mend.sql).
SELECT count(*) = 2 FROM pg_attribute
WHERE (attrelid, attname) IN (('immich_indexer.photo'::regclass, 'clip'), (to_regclass('immich_indexer_3.vector'), 'embedding'))
  AND NOT attisdropped;
