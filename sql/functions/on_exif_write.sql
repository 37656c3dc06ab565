-- The metadata of a photo was read, or a person wrote a description or moved it to another place. A metadata refresh writes the same
-- values again. Where a row is inserted, the old one is null.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_exif_write() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (new.description, new.city, new.state, new.country, new.make, new.model, new."lensModel")
            IS NOT DISTINCT FROM (old.description, old.city, old.state, old.country, old.make, old.model, old."lensModel")
       OR missed(transaction) THEN
        RETURN NULL;
    END IF;
    PERFORM immich_indexer_2.note_change('photo', new."assetId");
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
