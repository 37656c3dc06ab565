-- The least-privileged role for immich-indexer. Run once, as a superuser, in Immich's database:
--
--   psql -d immich -v password="'choose one'" -v immich=postgres -f role.sql
--
-- immich is the role that Immich itself connects as (DB_USERNAME). It becomes a member of ours so that Immich's own backup can
-- read our tables and Immich's own restore can drop and replace them. Safe to run again, and to be run again after Immich
-- restored a backup: a restore leaves our schema in Immich's hands, and the last lines bring it back.
\set ON_ERROR_STOP on
SELECT 'CREATE ROLE immich_indexer LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'immich_indexer') \gexec
ALTER ROLE immich_indexer WITH LOGIN PASSWORD :password;
SELECT format('GRANT CREATE, CONNECT ON DATABASE %I TO immich_indexer', current_database()) \gexec
SELECT format('GRANT immich_indexer TO %I', :'immich')
    WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = :'immich') \gexec

GRANT USAGE ON SCHEMA public TO immich_indexer;
-- what is read
GRANT SELECT ON asset, asset_file, asset_exif, asset_edit, asset_job_status, smart_search, asset_ocr, ocr_search,
    tag, tag_asset, album, album_asset, "user", partner TO immich_indexer;
-- what is written
GRANT INSERT, UPDATE, DELETE ON smart_search, asset_ocr, ocr_search, asset_job_status TO immich_indexer;
-- what is listened to, now and by later versions
GRANT TRIGGER ON asset, asset_file, ocr_search, asset_ocr, smart_search, tag_asset, asset_job_status TO immich_indexer;

DO $$
DECLARE
    object text;
BEGIN
    IF to_regnamespace('immich_indexer') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE 'ALTER SCHEMA immich_indexer OWNER TO immich_indexer';
    FOR object IN
        SELECT format('TABLE %s', oid::regclass) FROM pg_class
            WHERE relnamespace = 'immich_indexer'::regnamespace AND relkind = 'r'
        UNION ALL
        SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'immich_indexer'::regnamespace
        UNION ALL
        SELECT format('TEXT SEARCH CONFIGURATION %s', oid::regconfig) FROM pg_ts_config
            WHERE cfgnamespace = 'immich_indexer'::regnamespace
    LOOP
        EXECUTE format('ALTER %s OWNER TO immich_indexer', object);
    END LOOP;
END
$$;
