-- Asked by indexer/database/owners.py.

-- name: too_long
-- An owner of our objects whose name in a dump is longer than that of Immich's database user, who owns Immich's tables. No row where
-- all names fit. Objects of an extension have no owner in a dump.
WITH immich AS (
    SELECT pg_get_userbyid(relowner) AS name FROM pg_class WHERE oid = to_regclass('public.asset')
), ours (class, object, schema, owner) AS (
    SELECT 'pg_namespace'::regclass, oid, oid, nspowner FROM pg_namespace
    UNION ALL SELECT 'pg_class'::regclass, oid, relnamespace, relowner FROM pg_class
    UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace, proowner FROM pg_proc
    UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgnamespace, cfgowner FROM pg_ts_config
)
SELECT pg_get_userbyid(ours.owner) AS owner, quote_ident(immich.name) AS immich, quote_ident(current_database()) AS database
FROM ours JOIN pg_namespace n ON n.oid = ours.schema, immich
WHERE n.nspname ~ '^immich_indexer(_\d+|_zhparser)?$'
  AND octet_length(quote_ident(pg_get_userbyid(ours.owner))) > octet_length(immich.name)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = ours.class AND d.objid = ours.object AND d.deptype = 'e')
ORDER BY 1 LIMIT 1;
