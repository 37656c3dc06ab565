-- A person tagged photos `reindex`, `reindex/ocr` or `reindex/clip`: read them again, a few before everything else, more than
-- 20 at once after new uploads. At each refresh of a photo's metadata Immich deletes the rows of its tags and inserts them anew,
-- in one transaction: what was deleted in this very transaction is remembered as long as it lasts, and is no news.
CREATE OR REPLACE FUNCTION immich_indexer.on_tag_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    gone text := coalesce(current_setting('immich_indexer.untagged', true), '');
BEGIN
    IF TG_OP = 'DELETE' THEN
        SELECT gone || coalesce(string_agg(row_of.name, ''), '') INTO gone
        FROM (
            SELECT n."assetId" || ':' || n."tagId" || ' ' AS name FROM new_rows n JOIN public.tag t ON t.id = n."tagId"
            WHERE lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip') LIMIT 1000
        ) AS row_of;
        IF gone <> '' THEN
            PERFORM set_config('immich_indexer.untagged', gone, true);
        END IF;
        RETURN NULL;
    END IF;
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority, tag_id)
    SELECT n."assetId",
        CASE lower(t.value) WHEN 'reindex/ocr' THEN '{ocr!}' WHEN 'reindex/clip' THEN '{clip!}' ELSE '{clip!,ocr!}' END::text[],
        CASE WHEN count(*) OVER () > 20 THEN 15 ELSE 0 END,
        n."tagId"
    FROM new_rows n JOIN public.tag t ON t.id = n."tagId"
    WHERE lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip')
      AND position(n."assetId" || ':' || n."tagId" IN gone) = 0;
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
