-- A tag was renamed. It is one row, however many photos have it.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_tag_update() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF new.value IS DISTINCT FROM old.value AND NOT missed(transaction) THEN
        PERFORM immich_indexer_2.note_change('tag', new.id);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
