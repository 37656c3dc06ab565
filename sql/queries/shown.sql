-- Asked by indexer/views/photo.py.

-- name: shown
-- Photo $1 as user $2 is shown it, with its vector by the model in use, or by an earlier one until it is read anew. The user sees photos
-- of the owners $3: their own, also archived, and those in partners' timelines.
SELECT a."originalFileName" AS file_name, a."fileCreatedAt" AS taken_at, a.type, a."ownerId" = $2 AS own,
       CASE WHEN vector_of(p) IS NULL THEN p.clip_model ELSE coalesce(model(current), p.clip_model) END AS clip_model,
       p.ocr_model, p.lines, p.indexed_at, halfvec_send(coalesce(vector_of(p), p.clip)) AS vector,
       p.preview_updated_at = f."updatedAt" AS fresh
FROM public.asset a
LEFT JOIN public.asset_file f ON f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited"
LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
WHERE a.id = $1 AND a."ownerId" = ANY ($3::uuid[]) AND present(a)
  AND (a.visibility = 'timeline' OR a.visibility = 'archive' AND a."ownerId" = $2);

-- name: picture
-- Whether user $2, who sees photos of the owners $3, is shown the edited picture of photo $1. No row if the user is shown neither.
SELECT EXISTS (SELECT FROM public.asset_edit e WHERE e."assetId" = a.id)
       AND EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = a.id AND f.type = 'preview' AND f."isEdited") AS edited
FROM public.asset a
WHERE a.id = $1 AND a."ownerId" = ANY ($3::uuid[]) AND present(a)
  AND (a.visibility = 'timeline' OR a.visibility = 'archive' AND a."ownerId" = $2);
