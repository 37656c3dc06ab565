-- Asked by indexer/queue/selection.py.

-- name: albums
-- Albums with the name or the id $1.
SELECT id FROM public.album WHERE "deletedAt" IS NULL AND ("albumName" = $1 OR id::text = lower($1)) ORDER BY id;

-- name: chosen
-- Indexed photos that fulfil every given condition: in album $1; taken at $2 or later and before $3, in the photo's local time; read
-- without finding text ($4); made with other models than $5 and $6 (null: that task is off) if $7; failed ($8).
SELECT a.id FROM public.asset a
JOIN public.asset_file f ON f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited"
LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
WHERE eligible(a)
  AND ($1::uuid IS NULL OR EXISTS (SELECT FROM public.album_asset x WHERE x."albumId" = $1 AND x."assetId" = a.id))
  AND ($2::timestamp IS NULL OR a."localDateTime" AT TIME ZONE 'UTC' >= $2)
  AND ($3::timestamp IS NULL OR a."localDateTime" AT TIME ZONE 'UTC' < $3)
  AND (NOT $4 OR p.lines IS NOT NULL AND jsonb_array_length(p.lines) = 0)
  AND (NOT $7 OR vector_of(p) IS NOT NULL AND coalesce(model(current), p.clip_model) <> $5 OR p.lines IS NOT NULL AND p.ocr_model <> $6)
  AND (NOT $8 OR EXISTS (SELECT FROM immich_indexer.job j WHERE j.asset_id = a.id AND j.error IS NOT NULL
      AND (j.dead OR j.attempts > 0)))
ORDER BY a."localDateTime" DESC, a.id;
