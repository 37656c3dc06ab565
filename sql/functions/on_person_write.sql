-- A person got a name, another name or none, was hidden or shown, or deleted. It is one row, however many photos the person is on.
-- From Immich 3.2 on the person of a face is a group, and a person has no id. (A statement is prepared when it is first executed, so
-- the other column need not exist.) Where one is inserted or deleted, the other row is null.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_person_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    IF coalesce(new.name = old.name AND new."isHidden" = old."isHidden", new.name = '', old.name = '') OR missed(transaction) THEN
        RETURN NULL;
    END IF;
    IF to_regclass('public.person_group') IS NULL THEN
        INSERT INTO immich_indexer_2.change (kind, id, priority) VALUES ('person', coalesce(new.id, old.id), priority(upload));
    ELSE
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        VALUES ('person', coalesce(new."personGroupId", old."personGroupId"), priority(upload));
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
