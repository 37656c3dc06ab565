-- Something else is known of a photo now, or of the person, tag or album `id` that many photos have. Triggers call it that mostly compare
-- an old row with a new one: they run with the rights of whoever writes, because a change of rights takes longer than the comparison.
-- So whoever writes may call this. A photo without a preview is being uploaded, unless we know it: its facts are noted with its job
-- (sql/queries/queue.sql).
CREATE OR REPLACE FUNCTION immich_indexer_2.note_change(kind text, id uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    SELECT note_change.kind, note_change.id, urgency(edit)
    WHERE note_change.kind <> 'photo'
       OR EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = note_change.id AND f.type = 'preview')
       OR EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = note_change.id);
END
$$;
