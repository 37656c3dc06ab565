-- A person tagged photos `reindex`, `reindex/ocr` or `reindex/clip`: read them again. A few go before everything else, more than 20 at
-- once go behind new uploads. Immich also deletes the tags of a photo and inserts them again, in one transaction, each time it
-- refreshes the photo's metadata, and for all photos of a tag that is renamed or deleted. That is no request. So deleted tags are
-- remembered until they are inserted again in the same transaction. They are the keys of an object, which is fast however many.
-- Tags are also searched. What Immich rewrites waits behind new uploads, and so do all but 20 photos of a statement.
CREATE OR REPLACE FUNCTION immich_indexer.on_tag_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    untagged text;  -- a photo whose tags this transaction deleted, so that it was noted then
    photo text;  -- one of the statement's photos
    noted integer;
    gone jsonb;
    back bigint;
BEGIN
    SELECT "assetId"::text INTO photo FROM new_rows LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;  -- a refresh of a photo without tags: the statements below open more tables
    END IF;
    untagged := coalesce(current_setting('immich_indexer.retagged', true), '');
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    SELECT 'photo', "assetId", CASE WHEN TG_OP = 'DELETE' OR untagged <> '' THEN priority(bulk) ELSE priority(upload) END
    FROM new_rows WHERE TG_OP = 'DELETE' OR "assetId"::text <> untagged LIMIT 20;
    GET DIAGNOSTICS noted = ROW_COUNT;
    IF noted = 20 THEN  -- there may be more, which wait behind new uploads (for a few tags, DISTINCT would take the most time of all)
        INSERT INTO immich_indexer_2.change (kind, id, priority) SELECT DISTINCT 'photo', "assetId", priority(bulk) FROM new_rows;
    END IF;
    IF TG_OP = 'DELETE' THEN
        PERFORM set_config('immich_indexer.retagged', photo, true);
    END IF;
    IF NOT EXISTS (SELECT FROM new_rows n JOIN public.tag t ON t.id = n."tagId"
                   WHERE lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip')) THEN
        RETURN NULL;
    END IF;
    gone := coalesce(nullif(current_setting('immich_indexer.untagged', true), ''), '{}');
    IF TG_OP = 'DELETE' THEN
        SELECT gone || jsonb_object_agg(n."assetId" || ':' || n."tagId", '') INTO gone
        FROM new_rows n JOIN public.tag t ON t.id = n."tagId"
        WHERE lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip');
        PERFORM set_config('immich_indexer.untagged', gone::text, true);
        RETURN NULL;
    END IF;
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority, tag_id)
    SELECT n."assetId",
        CASE lower(t.value) WHEN 'reindex/ocr' THEN '{ocr!}' WHEN 'reindex/clip' THEN '{clip!}' ELSE '{clip!,ocr!}' END::text[],
        CASE WHEN count(*) OVER () > 20 THEN priority(bulk) ELSE priority(request) END,
        n."tagId"
    FROM new_rows n JOIN public.tag t ON t.id = n."tagId"
    WHERE lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip')
      AND NOT gone ? (n."assetId" || ':' || n."tagId");
    IF FOUND AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
    IF gone <> '{}' THEN
        SELECT count(*) INTO back FROM new_rows n WHERE gone ? (n."assetId" || ':' || n."tagId");
        IF back = (SELECT count(*) FROM jsonb_object_keys(gone)) THEN  -- otherwise it would grow with each photo of the transaction
            PERFORM set_config('immich_indexer.untagged', '', true);
        END IF;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
