-- A person tagged photos `reindex`, `reindex/ocr` or `reindex/clip`: read them again, a few before everything else, more than
-- 20 at once after new uploads. At each refresh of a photo's metadata, and of all photos of a tag that is renamed or deleted,
-- Immich deletes the rows of their tags and inserts them anew, in one transaction: what was deleted in this very transaction is
-- remembered until it comes back, and is no news. As an object, in which a name is found fast however many there are.
CREATE OR REPLACE FUNCTION immich_indexer.on_tag_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    gone jsonb := coalesce(nullif(current_setting('immich_indexer.untagged', true), ''), '{}');
    back bigint;
BEGIN
    IF TG_OP = 'DELETE' THEN
        SELECT gone || jsonb_object_agg(n."assetId" || ':' || n."tagId", '') INTO gone
        FROM new_rows n JOIN public.tag t ON t.id = n."tagId"
        WHERE lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip');
        IF gone IS NOT NULL THEN
            PERFORM set_config('immich_indexer.untagged', gone::text, true);
        END IF;
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
        IF back = (SELECT count(*) FROM jsonb_object_keys(gone)) THEN  -- or it would grow with each photo of the transaction
            PERFORM set_config('immich_indexer.untagged', '', true);
        END IF;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write matters more than ours: the reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
