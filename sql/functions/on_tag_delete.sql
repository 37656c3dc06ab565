-- Tags were removed from photos. Immich often inserts the same ones again in the same transaction, as on_tag_write.sql says, so the
-- photos wait behind new uploads, and one of them is remembered until the transaction ends.
CREATE OR REPLACE FUNCTION immich_indexer_2.on_tag_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    PERFORM set_config('immich_indexer.untagged', "assetId"::text, true) FROM old_rows LIMIT 1;
    IF FOUND THEN  -- a refresh of a photo without tags should not have to open our table
        INSERT INTO immich_indexer_2.change (kind, id, priority) SELECT 'photo', "assetId", priority(bulk) FROM old_rows;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
