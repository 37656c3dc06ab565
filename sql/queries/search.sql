-- Asked by indexer/search.py.

-- name: literal
-- Photos whose visible text holds what $1 asks for, best first.
SELECT p.asset_id, a."originalFileName" AS file_name, p.text
FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
WHERE p.document @@ $1::text::tsquery
  AND a."deletedAt" IS NULL AND a.status = 'active' AND a.visibility IN ('timeline', 'archive')
ORDER BY ts_rank_cd(p.document, $1::text::tsquery) DESC, a."fileCreatedAt" DESC, p.asset_id
LIMIT $2;
