-- Asked by indexer/search/meaning.py.

-- name: prepare
-- For this transaction. HNSW: return $1 good results, even where a filter removes some (pgvector can do that since 0.8; the vector below
-- loads its library). VectorChord: search as many lists as Immich does, and in them exactly (by default it skips what is probably
-- far away). And a plan for the actual parameters.
SELECT set_config(wanted.name, wanted.value, true)
FROM (SELECT '[0]'::vector) AS loaded
CROSS JOIN LATERAL (
    VALUES ('hnsw.ef_search', least(2 * $1::integer, 1000)::text),
           ('hnsw.iterative_scan', 'strict_order'),
           ('vchordrq.epsilon', '4'),
           ('plan_cache_mode', 'force_custom_plan')
    UNION ALL
    SELECT 'vchordrq.probes', ceil(coalesce(substring(pg_get_indexdef(indexrelid) FROM 'lists = \[(\d+)')::integer, 1) / 8.0)::text
    FROM pg_index WHERE indexrelid = to_regclass('public.clip_index') AND pg_get_indexdef(indexrelid) LIKE '%vchordrq%'
) AS wanted (name, value)
WHERE EXISTS (SELECT FROM pg_settings s WHERE s.name = wanted.name);

-- name: nearest
-- The $7 photos whose vectors are nearest to $1, nearest first: of the owners $2 (null: everybody), taken from $3 until $4 (null: any
-- time), archived ones only if $5, and only those of $6 (null: the administrator, who finds everybody's). Only photos of $8 (null: any).
SELECT s."assetId" AS asset_id, 1 - (s.embedding <=> $1::text::vector) AS similarity
FROM public.smart_search s JOIN public.asset a ON a.id = s."assetId"
WHERE present(a)
  AND (a.visibility = 'timeline' OR $5::boolean AND a.visibility = 'archive' AND ($6::uuid IS NULL OR a."ownerId" = $6::uuid))
  AND ($2::uuid[] IS NULL OR a."ownerId" = ANY ($2::uuid[]))
  AND ($3::timestamptz IS NULL OR a."fileCreatedAt" >= $3) AND ($4::timestamptz IS NULL OR a."fileCreatedAt" <= $4)
  AND ($8::uuid[] IS NULL OR s."assetId" = ANY ($8::uuid[]))
ORDER BY s.embedding <=> $1::text::vector
LIMIT $7::integer;
