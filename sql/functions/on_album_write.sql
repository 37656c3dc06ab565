-- An album was renamed, or deleted or restored with its owner's account. It is one row, however many photos are in it.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_album_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM new_rows n JOIN old_rows o ON o.id = n.id
                   WHERE (n."albumName", n."deletedAt") IS DISTINCT FROM (o."albumName", o."deletedAt")) THEN
        RETURN NULL;  -- the usual case: photos were added to it
    END IF;
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    SELECT 'album', n.id, priority(upload)
    FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE (n."albumName", n."deletedAt") IS DISTINCT FROM (o."albumName", o."deletedAt");
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
