-- An album was renamed, or deleted or restored with its owner's account. It is one row, however many photos are in it.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_album_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF (new."albumName", new."deletedAt") IS DISTINCT FROM (old."albumName", old."deletedAt") THEN  -- mostly photos were added to it
        INSERT INTO immich_indexer_2.change (kind, id, priority) VALUES ('album', new.id, priority(upload));
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
