-- A person asks for one photo again: select immich_indexer.reprocess('…', '{ocr}'). Goes before everything else.
CREATE OR REPLACE FUNCTION immich_indexer.reprocess(asset_id uuid, tasks text[] DEFAULT '{clip,ocr}') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF tasks IS NULL OR cardinality(tasks) = 0 OR NOT tasks <@ '{clip,ocr,text}'::text[] THEN
        RAISE EXCEPTION 'tasks must be some of clip, ocr, text; not %', tasks USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority) VALUES (reprocess.asset_id, reprocess.tasks, 0);
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
END
$$;
