-- A tag was renamed. It is one row, however many photos have it.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_tag_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    SELECT 'tag', n.id, priority(upload) FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.value IS DISTINCT FROM o.value;
    IF FOUND AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
