-- A face of a person was found, given to another person, hidden or removed. The column has another name from Immich 3.2 on, when
-- persons got groups. (An expression is prepared when it is first evaluated, so the other column need not exist.)
CREATE OR REPLACE FUNCTION immich_indexer_2.on_face_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    changed boolean;
BEGIN
    changed := TG_OP = 'UPDATE' AND (new."deletedAt", new."isVisible") IS DISTINCT FROM (old."deletedAt", old."isVisible");
    IF TG_OP = 'DELETE' THEN
        new := old;
    END IF;
    IF to_regclass('public.person_group') IS NULL THEN
        changed := changed OR new."personId" IS DISTINCT FROM CASE TG_OP WHEN 'UPDATE' THEN old."personId" END;
    ELSE
        changed := changed OR new."personGroupId" IS DISTINCT FROM CASE TG_OP WHEN 'UPDATE' THEN old."personGroupId" END;
    END IF;
    IF NOT changed OR missed(transaction) THEN
        RETURN NULL;
    END IF;
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    VALUES ('photo', new."assetId", urgency(edit));
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
