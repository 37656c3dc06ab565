-- Somebody else wrote the text that Immich searches: Immich's OCR job, an edit, or the thumbnail job, which empties it by mistake. Our
-- own writes set a transaction-local setting and are ignored here.
-- An empty text is the only trace of "Refresh thumbnails", so it counts as a request to read the photo again. Removing a photo's edits
-- also empties it, but then the files of the edit still exist. A crop may empty it, too.
CREATE OR REPLACE FUNCTION immich_indexer.on_ocr_search_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF current_setting('immich_indexer.writing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT n."assetId",
        CASE WHEN TG_OP = 'UPDATE' AND n.text = ''
              AND NOT EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = n."assetId" AND f."isEdited")
              AND NOT EXISTS (SELECT FROM public.asset_edit e WHERE e."assetId" = n."assetId")
             THEN '{text,refreshed}' ELSE '{text}' END::text[],
        priority(upload)
    FROM new_rows n;
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
