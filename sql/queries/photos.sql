-- Asked by indexer/photos/photo.py: what Immich knows of a photo, and what we know of it.

-- name: describe
-- Those of $1 that exist. The preview is the unedited one, which Immich itself indexes.
SELECT a.id AS asset_id,
       eligible(a) AS eligible,
       f.path, f."updatedAt" AS preview_updated_at,
       p.digest,
       ARRAY(SELECT p.clip_model WHERE p.clip IS NOT NULL UNION ALL
             SELECT v.model FROM immich_indexer_3.vector v WHERE v.asset_id = a.id AND v.digest IS NOT DISTINCT FROM p.digest) AS clip_models,
       CASE WHEN p.lines IS NOT NULL THEN p.ocr_model END AS ocr_model
FROM public.asset a
LEFT JOIN public.asset_file f ON f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited"
LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
WHERE a.id = ANY ($1::uuid[]);

-- name: crops
-- The crop of each edited photo of $1, and the size of the picture it is measured in: pixels of the upright original.
SELECT e."assetId" AS asset_id,
       (e.parameters->>'x')::float AS x, (e.parameters->>'y')::float AS y,
       (e.parameters->>'width')::float AS width, (e.parameters->>'height')::float AS height,
       CASE WHEN x.orientation IN ('5', '6', '7', '8', '-90', '90') THEN x."exifImageHeight" ELSE x."exifImageWidth" END::float
           AS picture_width,
       CASE WHEN x.orientation IN ('5', '6', '7', '8', '-90', '90') THEN x."exifImageWidth" ELSE x."exifImageHeight" END::float
           AS picture_height
FROM public.asset_edit e JOIN public.asset_exif x ON x."assetId" = e."assetId"
WHERE e.action = 'crop' AND e."assetId" = ANY ($1::uuid[])
  AND x."exifImageWidth" > 0 AND x."exifImageHeight" > 0;

-- name: a_preview
-- The path of the newest photo's preview, to check whether previews can be read at all.
SELECT f.path FROM public.asset_file f JOIN public.asset a ON a.id = f."assetId"
WHERE f.type = 'preview' AND NOT f."isEdited" AND a."deletedAt" IS NULL ORDER BY a."createdAt" DESC LIMIT 1;

-- name: previews
-- Of $1 photos by chance.
SELECT f.path FROM public.asset a JOIN public.asset_file f ON f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited"
WHERE eligible(a) ORDER BY random() LIMIT $1;

-- name: previews_with_text
-- The same, of photos in which we have read text.
SELECT f.path FROM public.asset a JOIN public.asset_file f ON f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited"
WHERE eligible(a) AND EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = a.id AND p.text <> '')
ORDER BY random() LIMIT $1;
