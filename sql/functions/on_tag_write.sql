-- Photos were tagged: tags are searched, and by the tags `reindex`, `reindex/ocr` and `reindex/clip` a person asks to read photos again
-- (sql/queries/tags.sql). All but 20 photos of a statement wait behind new uploads. So does what Immich rewrites: in one transaction it
-- deletes the tags of a photo and inserts them again, each time it refreshes the photo's metadata, and from 3.3 on for all photos of a
-- tag that is renamed or deleted. Such a photo was noted when its tags were deleted. A photo may be noted twice.
CREATE OR REPLACE FUNCTION immich_indexer.on_tag_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    untagged text;  -- a photo whose tags this transaction deleted (on_tag_delete.sql)
    noted integer;
BEGIN
    untagged := coalesce(current_setting('immich_indexer.untagged', true), '');
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    SELECT 'photo', "assetId", CASE untagged WHEN '' THEN priority(upload) ELSE priority(bulk) END
    FROM new_rows WHERE "assetId"::text <> untagged LIMIT 20;
    GET DIAGNOSTICS noted = ROW_COUNT;
    IF noted = 20 THEN  -- there may be more (for a few tags, DISTINCT would take the most time of all)
        INSERT INTO immich_indexer_2.change (kind, id, priority) SELECT DISTINCT 'photo', "assetId", priority(bulk) FROM new_rows;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
