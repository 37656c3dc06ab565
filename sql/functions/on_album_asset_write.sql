-- Photos were added to albums, or removed from them. An album that is deleted is no more when its photos are removed.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_album_asset_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    noted integer;
BEGIN
    INSERT INTO immich_indexer_2.change (kind, id, priority) SELECT 'photo', "assetId", priority(upload) FROM new_rows LIMIT 20;
    GET DIAGNOSTICS noted = ROW_COUNT;
    IF noted = 20 THEN  -- there may be more, which wait behind new uploads
        INSERT INTO immich_indexer_2.change (kind, id, priority) SELECT 'photo', "assetId", priority(bulk) FROM new_rows OFFSET 20;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
