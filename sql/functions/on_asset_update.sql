-- An asset became eligible: restored from the trash, unhidden, or online again. Or it was edited for the first time, or its edits
-- were removed. Where a crop had removed all text, no other event reports that. Immich updates this table often, mostly in columns
-- that do not matter to us, so the comparison comes first. What is searched besides the text, the date for example, may change, too.
CREATE OR REPLACE FUNCTION immich_indexer.on_asset_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    read_again boolean;
BEGIN
    IF NOT EXISTS (
        SELECT FROM new_rows n JOIN old_rows o ON o.id = n.id
        WHERE eligible(n) <> eligible(o) OR n."isEdited" <> o."isEdited"
           OR (n."originalFileName", n."localDateTime", n."fileCreatedAt", n.type, n."ownerId")
            IS DISTINCT FROM (o."originalFileName", o."localDateTime", o."fileCreatedAt", o.type, o."ownerId")
    ) THEN
        RETURN NULL;
    END IF;
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT n.id, CASE WHEN o.eligible THEN '{text}' ELSE '{clip,ocr}' END::text[], priority(upload)
    FROM new_rows n
    JOIN (SELECT old_rows.*, eligible(old_rows) AS eligible
          FROM old_rows) AS o ON o.id = n.id
    WHERE eligible(n)
      AND (NOT o.eligible OR n."isEdited" <> o."isEdited");
    read_again := FOUND;
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    SELECT 'photo', n.id, CASE WHEN count(*) OVER () > 20 THEN priority(bulk) ELSE priority(upload) END
    FROM new_rows n
    JOIN (SELECT old_rows.*, eligible(old_rows) AS eligible
          FROM old_rows) AS o ON o.id = n.id
    WHERE eligible(n)
      AND (NOT o.eligible OR (n."originalFileName", n."localDateTime", n."fileCreatedAt", n.type, n."ownerId")
          IS DISTINCT FROM (o."originalFileName", o."localDateTime", o."fileCreatedAt", o.type, o."ownerId"))
      AND (EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = n.id AND f.type = 'preview')  -- else it is being uploaded
           OR EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = n.id));
    IF (FOUND OR read_again) AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
