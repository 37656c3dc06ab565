-- A photo is ready to be read, or only its text is to be looked at again. Whoever writes may call it, as note_change.sql says.
CREATE OR REPLACE FUNCTION immich_indexer_2.note_photo(asset uuid, whole boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    VALUES (asset, CASE WHEN whole THEN '{clip,ocr}'::text[] ELSE '{text}'::text[] END, priority(upload));
    -- The notification has no content, and is not sent when the server's notification queue fills up: with a full queue a transaction
    -- that notifies fails at its commit.
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
END
$$;
