-- An asset became eligible: restored from the trash, unhidden, back online. Or it was edited for the first time, or its edits
-- were removed, which no other event tells of where a crop had cut all text away. Immich updates this table often and mostly
-- for nothing we care about, so the comparison comes first.
CREATE OR REPLACE FUNCTION immich_indexer.on_asset_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT n.id, CASE WHEN o.eligible THEN '{text}' ELSE '{clip,ocr}' END::text[], priority(upload)
    FROM new_rows n
    JOIN (SELECT old_rows.*, eligible(old_rows) AS eligible
          FROM old_rows) AS o ON o.id = n.id
    WHERE eligible(n)
      AND (NOT o.eligible OR n."isEdited" <> o."isEdited");
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
