-- A face of a person was found, given to another person, hidden or removed. The column has another name from Immich 3.2 on.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_face_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'photo', n."assetId", CASE WHEN count(*) OVER () > 20 THEN priority(bulk) ELSE priority(upload) END
        FROM new_rows n JOIN old_rows o ON o.id = n.id
        WHERE (to_jsonb(n) -> 'personGroupId', to_jsonb(n) -> 'personId', n."deletedAt", n."isVisible")
            IS DISTINCT FROM (to_jsonb(o) -> 'personGroupId', to_jsonb(o) -> 'personId', o."deletedAt", o."isVisible");
    ELSE
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'photo', n."assetId", CASE WHEN count(*) OVER () > 20 THEN priority(bulk) ELSE priority(upload) END
        FROM new_rows n WHERE coalesce(to_jsonb(n) ->> 'personGroupId', to_jsonb(n) ->> 'personId') IS NOT NULL;
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
