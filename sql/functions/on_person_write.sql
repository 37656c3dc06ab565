-- A person got a name, another name or none, was hidden or shown, or deleted. It is one row, however many photos the person is on.
-- From Immich 3.2 on the person of a face is a group, and a person has no id. (An expression is prepared when it is first evaluated, so
-- the other column need not exist.)
CREATE OR REPLACE FUNCTION immich_indexer_2.on_person_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    key uuid;
BEGIN
    IF TG_OP = 'DELETE' THEN
        new := old;
    END IF;
    IF (CASE TG_OP WHEN 'UPDATE' THEN new.name = old.name AND new."isHidden" = old."isHidden" ELSE new.name = '' END)
       OR missed(transaction) THEN
        RETURN NULL;
    END IF;
    IF to_regclass('public.person_group') IS NULL THEN
        key := new.id;
    ELSE
        key := new."personGroupId";
    END IF;
    INSERT INTO immich_indexer_2.change (kind, id, priority) VALUES ('person', key, priority(upload));
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
