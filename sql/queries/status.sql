-- Asked by indexer/views/status.py. $1: an owner, of whose photos those outside of the locked folder count. Null: everybody's photos.

-- name: in_use
-- The model whose vectors are searched (not Immich's own), and the one that read the texts of the photo read last. A photo that was read
-- only in part does not count: its job has failed.
SELECT coalesce(nullif(model(current), 'immich'), clip_model) AS clip_model, ocr_model, vector_dims(vector_of(p)) AS dimensions
FROM immich_indexer.photo p
WHERE indexed_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM immich_indexer.job j WHERE j.asset_id = p.asset_id AND j.error IS NOT NULL)
ORDER BY indexed_at DESC LIMIT 1;

-- name: progress
-- Photos to be indexed, grouped by the models of their results: how many were read (`photos`), were read by the models $2 and $3
-- (`indexed`; null: any model, because that task is off or no photo was read by its model yet), have text, and were read in the last
-- minute.
SELECT CASE WHEN vector_of(p) IS NULL THEN p.clip_model ELSE coalesce(model(current), p.clip_model) END AS clip_model, p.ocr_model,
       count(*) AS total, count(p.digest) AS photos,
       count(*) FILTER (WHERE p.digest IS NOT NULL
                          AND CASE WHEN $2::text IS NULL THEN j.asset_id IS NULL ELSE vector_of(p) IS NOT NULL AND coalesce(model(current), p.clip_model) = $2 END
                          AND CASE WHEN $3::text IS NULL THEN j.asset_id IS NULL ELSE p.lines IS NOT NULL AND p.ocr_model = $3 END
                      ) AS indexed,
       count(*) FILTER (WHERE p.text <> '') AS with_text,
       count(*) FILTER (WHERE p.indexed_at > now() - interval '1 minute') AS last_minute
FROM public.asset a
JOIN public.asset_file f ON f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited"
LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
LEFT JOIN immich_indexer.job j ON j.asset_id = a.id AND j.error LIKE 'waits for the machine: %'
WHERE eligible(a)
  AND ($1::uuid IS NULL OR a."ownerId" = $1 AND a.visibility <> 'locked')
GROUP BY 1, 2 ORDER BY photos DESC;
