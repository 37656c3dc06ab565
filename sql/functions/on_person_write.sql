-- A person got a name, another name or none, was hidden or shown, or deleted. It is one row, however many photos the person is on.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_person_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'person', coalesce(n.row ->> 'personGroupId', n.row ->> 'id')::uuid, priority(upload)
        FROM (SELECT to_jsonb(new_rows) AS row FROM new_rows) n
        JOIN (SELECT to_jsonb(old_rows) AS row FROM old_rows) o
          ON (o.row -> 'ownerId', o.row -> 'personGroupId', o.row -> 'id')
             IS NOT DISTINCT FROM (n.row -> 'ownerId', n.row -> 'personGroupId', n.row -> 'id')
        WHERE (n.row -> 'name', n.row -> 'isHidden') IS DISTINCT FROM (o.row -> 'name', o.row -> 'isHidden');
    ELSE
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        SELECT 'person', coalesce(to_jsonb(n) ->> 'personGroupId', to_jsonb(n) ->> 'id')::uuid, priority(upload)
        FROM new_rows n WHERE n.name <> '';
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
