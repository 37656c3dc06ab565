-- A person asks to read one photo again: select immich_indexer.reprocess('…', '{ocr}'). It goes before everything else.
CREATE OR REPLACE FUNCTION immich_indexer.reprocess(asset_id uuid, tasks text[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF immich_indexer.reprocess_all(ARRAY[asset_id], tasks) = 0 THEN
        RAISE EXCEPTION 'photo % is not indexed: it is hidden, offline, in the trash, or has no preview yet', asset_id
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
