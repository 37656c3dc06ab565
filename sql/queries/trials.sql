-- Asked by indexer/photos/trials.py: some photos with their vectors by two models.

-- name: claim
-- Only one trial at a time.
SELECT pg_try_advisory_lock(lock(turn) + 3);

-- name: release
-- Others need not wait until the server has noticed that a connection has ended.
SELECT pg_advisory_unlock(lock(turn) + 3);

-- name: sample
-- Up to $1 photos by chance, of everybody's: those that Immich lists and that have a vector by the current model, and with it. Immich's
-- own model has its vectors in Immich's column alone.
WITH page AS MATERIALIZED (
    SELECT a.id FROM public.asset a
    LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
    LEFT JOIN public.smart_search s ON s."assetId" = a.id
    WHERE eligible(a) AND listed(a)
      AND EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited")
      AND CASE WHEN model(current) = 'immich' THEN s."assetId" IS NOT NULL ELSE p.digest IS NOT NULL AND vector_of(p) IS NOT NULL END
    ORDER BY random() LIMIT $1
)
SELECT page.id AS asset_id, f.path, p.digest,
       CASE WHEN model(current) = 'immich' THEN vector_send(s.embedding) ELSE halfvec_send(vector_of(p)) END AS vector
FROM page JOIN public.asset_file f ON f."assetId" = page.id AND f.type = 'preview' AND NOT f."isEdited"
LEFT JOIN immich_indexer.photo p ON p.asset_id = page.id
LEFT JOIN public.smart_search s ON s."assetId" = page.id;

-- name: forget
WITH photos AS (DELETE FROM immich_indexer_3.trial_photo) DELETE FROM immich_indexer_3.trial;

-- name: forget_gone
-- Photos that Immich has deleted.
DELETE FROM immich_indexer_3.trial_photo t WHERE NOT EXISTS (SELECT FROM public.asset a WHERE a.id = t.asset_id);

-- name: store
INSERT INTO immich_indexer_3.trial (made_at, current, tried, setting, figures) VALUES ($1, $2, $3, $4, $5::jsonb);

-- name: store_photos
-- Photos $1 with their vectors by the current model, $2, and by the tried one, $3. Without those that Immich has deleted meanwhile.
INSERT INTO immich_indexer_3.trial_photo (asset_id, current, tried)
SELECT new.asset_id, new.current::halfvec, new.tried::halfvec
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (asset_id, current, tried)
WHERE EXISTS (SELECT FROM public.asset a WHERE a.id = new.asset_id) ORDER BY new.asset_id;

-- name: read
SELECT made_at, current, tried, setting, figures FROM immich_indexer_3.trial;

-- name: rank
-- The photos of the trial made at $1 that are among the first $4 by the current model's question $2 or by the tried model's $3, with both
-- ranks. Only those that a search shows the user $5: of the owners $6 (null: everybody), archived ones only if $7.
WITH seen AS (
    SELECT t.asset_id, a."originalFileName" AS file_name,
           1 - (t.current <=> $2::text::halfvec) AS current, 1 - (t.tried <=> $3::text::halfvec) AS tried
    FROM immich_indexer_3.trial_photo t JOIN public.asset a ON a.id = t.asset_id
    WHERE EXISTS (SELECT FROM immich_indexer_3.trial WHERE made_at = $1)
      AND present(a)
      AND (a.visibility = 'timeline' OR $7::boolean AND a.visibility = 'archive' AND ($5::uuid IS NULL OR a."ownerId" = $5::uuid))
      AND ($6::uuid[] IS NULL OR a."ownerId" = ANY ($6::uuid[]))
), ranked AS (
    SELECT seen.*, row_number() OVER (ORDER BY current DESC, asset_id) AS current_rank,
           row_number() OVER (ORDER BY tried DESC, asset_id) AS tried_rank, count(*) OVER () AS photos
    FROM seen
)
SELECT * FROM ranked WHERE least(current_rank, tried_rank) <= $4 ORDER BY least(current_rank, tried_rank), asset_id;
