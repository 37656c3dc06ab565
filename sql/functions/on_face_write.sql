-- A face of a person was found, given to another person, hidden or removed. The column has another name from Immich 3.2 on: the one
-- that the table does not have is taken from `absent`.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_face_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'photo', n."assetId", CASE WHEN count(*) OVER () > 20 THEN priority(bulk) ELSE priority(upload) END
        FROM (SELECT NULL::uuid AS "personId", NULL::uuid AS "personGroupId") AS absent
        CROSS JOIN LATERAL (
            SELECT id, "assetId", coalesce("personGroupId", "personId") AS person, "deletedAt", "isVisible" FROM new_rows
        ) AS n
        CROSS JOIN LATERAL (
            SELECT id, coalesce("personGroupId", "personId") AS person, "deletedAt", "isVisible" FROM old_rows
        ) AS o
        WHERE o.id = n.id AND (n.person, n."deletedAt", n."isVisible") IS DISTINCT FROM (o.person, o."deletedAt", o."isVisible");
    ELSE
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'photo', n."assetId", CASE WHEN count(*) OVER () > 20 THEN priority(bulk) ELSE priority(upload) END
        FROM (SELECT NULL::uuid AS "personId", NULL::uuid AS "personGroupId") AS absent
        CROSS JOIN LATERAL (SELECT "assetId", coalesce("personGroupId", "personId") AS person FROM new_rows) AS n
        WHERE n.person IS NOT NULL;
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
