-- Asked by indexer/photos/results.py.

-- name: begin
-- Immich has precedence: where it holds a lock, we try again. The second setting tells our own triggers that we are the writer.
-- While a transaction changes the current model, nobody writes vectors of the old one.
SELECT set_config('lock_timeout', '800ms', true), set_config('immich_indexer.writing', 'on', true),
       pg_advisory_xact_lock_shared(lock(turn));

-- name: forget
-- Photos that were deleted, or that were not read and are no longer eligible. What was read stays, in case they come back.
DELETE FROM immich_indexer.photo p WHERE p.asset_id = ANY ($1::uuid[])
    AND NOT EXISTS (SELECT FROM public.asset a WHERE a.id = p.asset_id AND (p.digest IS NOT NULL OR eligible(a)));

-- name: foreign_lines
-- Photos of $1 that another program read and whose searchable text was emptied: their visible lines, in reading order.
SELECT s."assetId" AS asset_id, array_agg(o.text ORDER BY o.y1, o.x1) AS lines
FROM public.ocr_search s JOIN public.asset_ocr o ON o."assetId" = s."assetId" AND o."isVisible"
WHERE s."assetId" = ANY ($1::uuid[]) AND s.text = ''
GROUP BY s."assetId";

-- name: apply_search_text
INSERT INTO public.ocr_search AS s ("assetId", text)
SELECT * FROM unnest($1::uuid[], $2::text[]) AS new ORDER BY 1
ON CONFLICT ("assetId") DO UPDATE SET text = excluded.text WHERE s.text <> excluded.text;
