-- The metadata of a photo was read, or a person wrote a description or moved it to another place. A metadata refresh writes the same
-- values again. A photo without a preview is being uploaded, unless we know it: its facts are noted with its job (sql/queries/queue.sql).
CREATE OR REPLACE FUNCTION immich_indexer_2.on_exif_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'photo', n."assetId", priority(upload) FROM new_rows n
        WHERE (EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = n."assetId" AND f.type = 'preview')
              OR EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = n."assetId"));
    ELSIF NOT EXISTS (
        SELECT FROM new_rows n JOIN old_rows o ON o."assetId" = n."assetId"
        WHERE (n.description, n.city, n.state, n.country, n.make, n.model, n."lensModel")
            IS DISTINCT FROM (o.description, o.city, o.state, o.country, o.make, o.model, o."lensModel")
    ) THEN
        RETURN NULL;  -- the usual case, and so it is asked first and by itself: the statement below opens more tables
    ELSE
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'photo', n."assetId", CASE WHEN count(*) OVER () > 20 THEN priority(bulk) ELSE priority(upload) END
        FROM new_rows n JOIN old_rows o ON o."assetId" = n."assetId"
        WHERE (n.description, n.city, n.state, n.country, n.make, n.model, n."lensModel")
            IS DISTINCT FROM (o.description, o.city, o.state, o.country, o.make, o.model, o."lensModel")
          AND (EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = n."assetId" AND f.type = 'preview')
              OR EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = n."assetId"));
    END IF;
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
