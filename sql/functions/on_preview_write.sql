-- A preview was written, or written again (another format, another size, an edit): the photo is ready. The preview of an edit changes
-- no result of a model, only which lines are visible.
CREATE OR REPLACE FUNCTION immich_indexer.on_preview_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT "assetId", CASE WHEN "isEdited" THEN '{text}'::text[] ELSE '{clip,ocr}'::text[] END, priority(upload)
    FROM new_rows WHERE type = 'preview';
    -- The notification has no content, and is not sent when the server's notification queue fills up: with a full queue a transaction
    -- that notifies fails at its commit.
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
