-- A preview was written, or written again (another format, another size, an edit): the photo is ready. The preview of an edit changes
-- no result of a model, only which lines are visible.
CREATE OR REPLACE FUNCTION immich_indexer.on_preview_write() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF new.type <> 'preview' OR missed(transaction) THEN
        RETURN NULL;
    END IF;
    PERFORM immich_indexer_2.note_photo(new."assetId", whole => NOT new."isEdited");
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
