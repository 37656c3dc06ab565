-- An asset became eligible: restored from the trash, unhidden, back online. Immich updates this table often and mostly for
-- nothing we care about, so the comparison comes first.
CREATE OR REPLACE FUNCTION immich_indexer.on_asset_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT n.id, '{clip,ocr}'::text[], 10
    FROM new_rows n JOIN old_rows o ON o.id = n.id
    WHERE n."deletedAt" IS NULL AND n.status = 'active' AND n.visibility <> 'hidden' AND NOT n."isOffline"
      AND NOT (o."deletedAt" IS NULL AND o.status = 'active' AND o.visibility <> 'hidden' AND NOT o."isOffline");
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
