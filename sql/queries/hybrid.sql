-- Asked by indexer/search/hybrid.py.

-- name: shown
-- Those of $1 that user $2 (null: the administrator) is shown now, of the owners $3 (null: everybody), archived ones only if $4 and
-- only the user's own. This is the final check, whatever the queries for candidates return.
SELECT a.id AS asset_id FROM public.asset a
WHERE a.id = ANY ($1::uuid[])
  AND present(a)
  AND (a.visibility = 'timeline' OR $4::boolean AND a.visibility = 'archive' AND ($2::uuid IS NULL OR a."ownerId" = $2::uuid))
  AND ($3::uuid[] IS NULL OR a."ownerId" = ANY ($3::uuid[]));

-- name: described
SELECT a.id AS asset_id, a."originalFileName" AS file_name, a."fileCreatedAt" AS taken_at, p.lines
FROM public.asset a LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
WHERE a.id = ANY ($1::uuid[]);
