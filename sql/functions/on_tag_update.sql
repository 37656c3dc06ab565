-- A tag was renamed. It is one row, however many photos have it.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_tag_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF new.value IS DISTINCT FROM old.value THEN
        INSERT INTO immich_indexer_2.change (kind, id, priority) VALUES ('tag', new.id, priority(upload));
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
