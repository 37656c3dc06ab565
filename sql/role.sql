-- The least-privileged role for immich-indexer. `immich-indexer role` runs this file, with Immich's own login. Or run it by hand as a
-- superuser, in Immich's database:
--
--   psql -q -d immich -v password='choose one' -f role.sql
--
-- It can be run again at any time. Run it again after Immich restored a backup: after a restore Immich's role owns our schema, and a
-- backup from before the role was made does not contain the role's rights. Run it also after `immich-indexer uninstall`, before you
-- install again: uninstall drops zhparser's schema, which only a superuser can create.
--
-- The role's name is `ii` because of the way in which Immich 3 restores a backup. It writes the name of its own database user over the
-- name of each owner, byte by byte. If the owner's name is longer, its end stays. So our name has to be the shorter one.
--
-- Backups made from now on mention the role, so a new server needs it before Immich restores one there: CREATE ROLE ii.
-- To remove it: immich-indexer uninstall, then DROP OWNED BY ii; DROP ROLE ii;
--
-- Only psql understands the next line, which indexer/work/role.py leaves out, and the variable `password`, which it replaces.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL immich_indexer.password = :'password';

DO $$
DECLARE
    -- The role that Immich itself connects as, which owns its tables.
    immich name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('public.asset'));
    statement text;
BEGIN
    -- Two runs at the same time would change the same rows of the catalogue.
    PERFORM pg_advisory_xact_lock(hashtext('immich_indexer'), hashtext('role'));

    -- The name is short, so somebody else may have such a role. Ours has this comment. A role made only for a restore cannot log in.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ii' AND rolcanlogin
               AND shobj_description(oid, 'pg_authid') IS DISTINCT FROM 'immich-indexer') THEN
        RAISE EXCEPTION 'this server has a role ii that is not ours'
            USING HINT = 'Rename that role. If it is immich-indexer''s after all: COMMENT ON ROLE ii IS ''immich-indexer''';
    END IF;

    -- Until November 2026 the name was immich_indexer. If both roles exist, because the old one was created for a restore, the new one
    -- takes over its objects. The old one stays while another database needs it.
    IF to_regrole('immich_indexer') IS NULL THEN
        IF to_regrole('ii') IS NULL THEN
            CREATE ROLE ii;
        END IF;
    ELSIF to_regrole('ii') IS NULL THEN
        ALTER ROLE immich_indexer RENAME TO ii;
    ELSE
        REASSIGN OWNED BY immich_indexer TO ii;
        DROP OWNED BY immich_indexer;
        IF NOT EXISTS (SELECT FROM pg_shdepend
                       WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'immich_indexer'::regrole) THEN
            DROP ROLE immich_indexer;
        END IF;
    END IF;
    EXECUTE format('ALTER ROLE ii WITH LOGIN PASSWORD %L', current_setting('immich_indexer.password'));
    COMMENT ON ROLE ii IS 'immich-indexer';
    EXECUTE format('GRANT CREATE, CONNECT ON DATABASE %I TO ii', current_database());

    FOR statement IN
        -- Immich's role becomes a member, so that its own backup can read our tables and its own restore can replace them. A superuser does
        -- not need that.
        SELECT format('GRANT ii TO %I', rolname) FROM pg_roles WHERE rolname = immich AND NOT rolsuper
        UNION ALL
        SELECT 'GRANT USAGE ON SCHEMA public TO ii'
        UNION ALL
        SELECT format('GRANT %s ON public.%I TO ii', rights, name)
        FROM (VALUES
            -- read
            ('SELECT', ARRAY['asset', 'asset_file', 'asset_exif', 'asset_edit', 'asset_job_status', 'smart_search', 'asset_ocr',
                'ocr_search', 'tag', 'tag_asset', 'album', 'album_asset', 'album_user', 'person', 'asset_face', 'user', 'partner']),
            -- written; Immich's own trigger on asset_ocr writes asset_ocr_audit, with our rights
            ('INSERT, UPDATE, DELETE', ARRAY['smart_search', 'asset_ocr', 'ocr_search', 'asset_job_status']),
            ('INSERT', ARRAY['asset_ocr_audit']),
            -- triggers, of this version and of later ones
            ('TRIGGER', ARRAY['asset', 'asset_file', 'asset_exif', 'ocr_search', 'asset_ocr', 'smart_search', 'tag', 'tag_asset',
                'album', 'album_asset', 'album_user', 'person', 'asset_face', 'asset_job_status'])
        ) AS wanted (rights, names), unnest(names) AS name
        WHERE to_regclass(format('public.%I', name)) IS NOT NULL
    LOOP
        EXECUTE statement;
    END LOOP;

    -- zhparser, where this server offers it: only a superuser may create it. It is in a schema of ours, so uninstall removes it.
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'zhparser' AND installed_version IS NULL) THEN
        CREATE SCHEMA IF NOT EXISTS immich_indexer_zhparser;
        CREATE EXTENSION zhparser SCHEMA immich_indexer_zhparser;
    END IF;

    -- Take over our objects that have another owner. Each change of owner waits for whoever uses the table.
    FOR statement IN
        SELECT format('ALTER %s OWNER TO ii', object)
        FROM (
            SELECT oid, nspowner, format('SCHEMA %I', nspname) FROM pg_namespace
            UNION ALL
            SELECT relnamespace, relowner, format('TABLE %s', oid::regclass) FROM pg_class WHERE relkind = 'r'
            UNION ALL
            SELECT pronamespace, proowner, format('FUNCTION %s', oid::regprocedure) FROM pg_proc p
                WHERE NOT EXISTS (
                    SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
            UNION ALL
            SELECT cfgnamespace, cfgowner, format('TEXT SEARCH CONFIGURATION %s', oid::regconfig) FROM pg_ts_config
        ) AS objects (schema, owner, object)
        WHERE owner <> 'ii'::regrole
          AND schema IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^immich_indexer(_\d+|_zhparser)?$')
    LOOP
        EXECUTE statement;
    END LOOP;

    -- Dropping an index and making it again: only Immich's role may do that, so the function runs with its rights. It does nothing else.
    -- While the CLIP model is changed, each row of an indexed column takes some 30 ms. See indexer/work/clip_index.py.
    CREATE SCHEMA IF NOT EXISTS immich_indexer_index;
    ALTER SCHEMA immich_indexer_index OWNER TO ii;
    DROP FUNCTION IF EXISTS immich_indexer_index.put(text, boolean);
    CREATE FUNCTION immich_indexer_index.put(definition text, there boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $put$
    BEGIN
        IF definition !~ '^CREATE INDEX clip_index ON public\.smart_search USING \w+ \(embedding [\w.]+\)( WITH \((\w+=''[^'']*''(, )?)+\))?$' THEN
            RAISE EXCEPTION 'this is no index on Immich''s vectors: %', definition;
        ELSIF there THEN
            EXECUTE definition;
        ELSE
            DROP INDEX public.clip_index;
        END IF;
    END $put$;
    COMMENT ON FUNCTION immich_indexer_index.put IS 'immich-indexer: makes or drops the index on Immich''s vectors';
    REVOKE ALL ON FUNCTION immich_indexer_index.put FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION immich_indexer_index.put TO ii;
    EXECUTE format('ALTER FUNCTION immich_indexer_index.put OWNER TO %I', immich);
END $$;
COMMIT;
