-- An asset became eligible: restored from the trash, unhidden, or online again. Or it was edited for the first time, or its edits
-- were removed. Where a crop had removed all text, no other event reports that. What is searched besides the text, the date for example,
-- may change, too. Immich updates this table often, mostly in columns that do not matter to us, so the comparison comes first.
CREATE OR REPLACE FUNCTION immich_indexer.on_asset_update() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    other_facts boolean;
    was_eligible boolean;
BEGIN
    other_facts := (new."originalFileName", new."localDateTime", new."fileCreatedAt", new.type, new."ownerId")
        IS DISTINCT FROM (old."originalFileName", old."localDateTime", old."fileCreatedAt", old.type, old."ownerId");
    IF NOT other_facts AND (new."deletedAt", new.status, new.visibility, new."isOffline", new."isEdited")
            IS NOT DISTINCT FROM (old."deletedAt", old.status, old.visibility, old."isOffline", old."isEdited")
       OR NOT (eligible(new)) OR missed(transaction) THEN
        RETURN NULL;
    END IF;
    was_eligible := eligible(old);
    IF NOT was_eligible OR new."isEdited" <> old."isEdited" THEN
        PERFORM immich_indexer_2.note_photo(new.id, whole => NOT was_eligible);
    END IF;
    IF other_facts OR NOT was_eligible THEN
        PERFORM immich_indexer_2.note_change('photo', new.id);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
