-- A person asks to read photos again. Tasks are clip, ocr or both; null and '{}' mean both. Photos that are not eligible (hidden,
-- offline, in the trash) or have no preview are left out. Returns how many will be read. A few go before everything else. More than
-- 20 at once go behind new uploads, which must not wait for them, and before backfill.
CREATE OR REPLACE FUNCTION immich_indexer.reprocess_all(asset_ids uuid[], tasks text[] DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unknown text[];
    wanted uuid[];
BEGIN
    IF NOT tasks <@ '{clip,ocr}'::text[] THEN
        RAISE EXCEPTION 'tasks may be clip and ocr, not %', array_to_string(tasks, ', ', 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF asset_ids IS NULL OR array_position(asset_ids, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'the ids of photos must not be null' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT array_agg(DISTINCT id::text) INTO unknown FROM unnest(asset_ids) AS requested (id)
    WHERE NOT EXISTS (SELECT FROM public.asset a WHERE a.id = requested.id);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'there is no photo %', array_to_string(unknown[:3], ', ')
            || CASE WHEN cardinality(unknown) > 3 THEN format(' and %s more', cardinality(unknown) - 3) ELSE '' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT coalesce(array_agg(a.id), '{}') INTO wanted FROM public.asset a
    WHERE a.id = ANY (asset_ids) AND eligible(a) AND EXISTS (
        SELECT FROM public.asset_file f WHERE f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited");
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT id, ARRAY(SELECT DISTINCT task || '!' FROM unnest(coalesce(nullif(tasks, '{}'), '{clip,ocr}')) AS task),
        CASE WHEN cardinality(wanted) > 20 THEN priority(bulk) ELSE priority(request) END
    FROM unnest(wanted) AS id;
    IF FOUND AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
    RETURN cardinality(wanted);
END
$$;
