-- An album was renamed, or deleted or restored with its owner's account. It is one row, however many photos are in it.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_album_write() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- Mostly photos were added to it.
    IF (new."albumName", new."deletedAt") IS DISTINCT FROM (old."albumName", old."deletedAt") AND NOT missed(transaction) THEN
        PERFORM immich_indexer_2.note_change('album', new.id);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
