-- Asked by indexer/photos/edits.py.

-- name: edits
-- The turns and mirrorings of photo $1, in order, and whether Immich has made the preview of the edited picture.
SELECT coalesce((SELECT jsonb_agg(jsonb_build_array(e.action, e.parameters) ORDER BY e.sequence)
                 FROM public.asset_edit e WHERE e."assetId" = $1 AND e.action <> 'crop'), '[]') AS turns,
       EXISTS (SELECT FROM public.asset_edit e WHERE e."assetId" = $1)
           AND EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = $1 AND f.type = 'preview' AND f."isEdited") AS drawn;
