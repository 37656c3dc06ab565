-- Photos were added to albums, or removed from them. An album that is deleted is no more when its photos are removed.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_album_asset_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    SELECT 'photo', "assetId", CASE WHEN count(*) OVER () > 20 THEN priority(bulk) ELSE priority(upload) END FROM new_rows;
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
