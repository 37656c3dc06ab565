-- An asset became eligible: restored from the trash, unhidden, or online again. Or it was edited for the first time, or its edits
-- were removed. Where a crop had removed all text, no other event reports that. What is searched besides the text, the date for example,
-- may change, too. Immich updates this table often, mostly in columns that do not matter to us, so the comparison comes first.
CREATE OR REPLACE FUNCTION immich_indexer.on_asset_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
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
        INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
        VALUES (new.id, CASE WHEN was_eligible THEN '{text}' ELSE '{clip,ocr}' END::text[], priority(upload));
        IF pg_notification_queue_usage() < 0.5 THEN
            PERFORM pg_notify('immich_indexer', '');
        END IF;
    END IF;
    IF other_facts OR NOT was_eligible THEN
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'photo', new.id, urgency(edit)
        WHERE EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = new.id AND f.type = 'preview')  -- else it is being uploaded
           OR EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = new.id);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
