-- Somebody else wrote the text that Immich searches: its own OCR job, an edit, or the thumbnail job that empties it by
-- mistake. Our own writes say so in a transaction-local setting and are not answered.
-- An emptied text is the one trace of somebody pressing "Refresh thumbnails", and taken for a request to read the photo
-- again. Removing a photo's edits empties it too, but while the files of the edit are still there; so may a crop.
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
    -- Immich's own write matters more than ours: the reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
