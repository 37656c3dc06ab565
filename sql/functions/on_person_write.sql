-- A person got a name, another name or none, was hidden or shown, or deleted. It is one row, however many photos the person is on.
-- From Immich 3.2 on the person of a face is a group, and a person has no id. The column that the table does not have is taken from
-- `absent`.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_person_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'person', n.key, priority(upload)
        FROM (SELECT NULL::uuid AS id, NULL::uuid AS "personGroupId") AS absent
        CROSS JOIN LATERAL (
            SELECT coalesce("personGroupId", id) AS key, "ownerId", name, "isHidden" FROM new_rows
        ) AS n
        CROSS JOIN LATERAL (
            SELECT coalesce("personGroupId", id) AS key, "ownerId", name, "isHidden" FROM old_rows
        ) AS o
        WHERE o.key = n.key AND o."ownerId" = n."ownerId" AND (n.name, n."isHidden") IS DISTINCT FROM (o.name, o."isHidden");
    ELSE
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'person', n.key, priority(upload)
        FROM (SELECT NULL::uuid AS id, NULL::uuid AS "personGroupId") AS absent
        CROSS JOIN LATERAL (SELECT coalesce("personGroupId", id) AS key, name FROM new_rows) AS n
        WHERE n.name <> '';
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
