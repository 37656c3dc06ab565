-- Asked by indexer/search/alike.py.

-- name: source
-- Photo $1, if user $2 is shown it, who sees photos of the owners $3: its visible text, null where it was not read, and its vector. Of a photo
-- without a vector of ours: Immich's.
SELECT a."originalFileName" AS file_name, CASE WHEN p.lines IS NOT NULL THEN p.text END AS text,
       halfvec_send(coalesce(vector_of(p), s.embedding::halfvec)) AS vector
FROM public.asset a
LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
LEFT JOIN public.smart_search s ON s."assetId" = a.id
WHERE a.id = $1 AND a."ownerId" = ANY ($3::uuid[]) AND present(a)
  AND (a.visibility = 'timeline' OR a.visibility = 'archive' AND a."ownerId" = $2);

-- name: sharing
-- The $7 newest photos that user $1 is shown, without photo $4, that the tsqueries $5 find, and the numbers, from 1, of those pieces $6 that
-- each has. $5 has one for each window of days, newest first, as in search.sql. $2: whose photos. $3: whether the user's own archived ones,
-- too. OFFSET 0: the index of documents is asked first, whatever the planner thinks about an owner.
WITH pieces AS MATERIALIZED (
    SELECT query::tsquery AS query, nth FROM unnest($6::text[]) WITH ORDINALITY AS piece (query, nth)
)
SELECT hit.* FROM unnest($5::text[]) WITH ORDINALITY AS span (query, nth)
CROSS JOIN LATERAL (
    SELECT p.asset_id, ARRAY(SELECT piece.nth::integer FROM pieces AS piece WHERE p.document @@ piece.query) AS pieces
    FROM immich_indexer.photo p
    CROSS JOIN LATERAL (
        SELECT FROM public.asset a
        WHERE a.id = p.asset_id AND a."ownerId" = ANY ($2::uuid[]) AND present(a)
          AND (a.visibility = 'timeline' OR $3::boolean AND a.visibility = 'archive' AND a."ownerId" = $1::uuid) OFFSET 0
    ) AS shown
    WHERE p.document @@ span.query::tsquery AND p.asset_id <> $4::uuid
    LIMIT $7::integer
) AS hit
LIMIT $7::integer;
