-- Somebody else wrote the text that Immich searches: its own OCR job, an edit, or the thumbnail job that empties it by
-- mistake. Our own writes say so in a transaction-local setting and are not answered.
CREATE OR REPLACE FUNCTION immich_indexer.on_ocr_search_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF current_setting('immich_indexer.writing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT "assetId", '{text}'::text[], 10 FROM new_rows;
    IF FOUND AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write matters more than ours: the reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
