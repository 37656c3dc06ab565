-- A preview was written, or written again (another format, another size, an edit): the photo is ready. The preview of an edit changes
-- no result of a model, only which lines are visible.
CREATE OR REPLACE FUNCTION immich_indexer.on_preview_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF new.type <> 'preview' OR missed(transaction) THEN
        RETURN NULL;
    END IF;
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    VALUES (new."assetId", CASE WHEN new."isEdited" THEN '{text}'::text[] ELSE '{clip,ocr}'::text[] END, priority(upload));
    -- The notification has no content, and is not sent when the server's notification queue fills up: with a full queue a transaction
    -- that notifies fails at its commit.
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
