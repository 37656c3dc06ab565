-- Asked by indexer/search/years.py.

-- name: years
-- How many photos that user $1 is shown match in each of the years $6, at most $10 of each, the newest year first. Years without any are left
-- out. $7 has the tsquery of each year, without positions; $8 the one with positions, null where $7 is exact; $9 the same for documents
-- without all positions (see the function `matches`). $2: whose photos. $3: whether the user's own archived ones, too. $4, $5: taken from and
-- until (null: any time). OFFSET 0: the index of documents is asked first, whatever the planner thinks about an owner.
WITH asked AS MATERIALIZED (SELECT $8::text::tsquery AS literal)
SELECT span.year, count(*) AS photos
FROM unnest($6::integer[], $7::text[]) AS span (year, query)
CROSS JOIN LATERAL (
    SELECT FROM immich_indexer.photo p
    CROSS JOIN LATERAL (
        SELECT FROM public.asset a
        WHERE a.id = p.asset_id AND a."ownerId" = ANY ($2::uuid[]) AND present(a)
          AND (a.visibility = 'timeline' OR $3::boolean AND a.visibility = 'archive' AND a."ownerId" = $1::uuid)
          AND ($4::timestamptz IS NULL OR a."fileCreatedAt" >= $4) AND ($5::timestamptz IS NULL OR a."fileCreatedAt" <= $5) OFFSET 0
    ) AS shown
    WHERE p.document @@ span.query::tsquery
      AND ($8::text IS NULL
           OR CASE WHEN p.overflow IS NULL AND p.long_facts IS NULL THEN p.document @@ (SELECT literal FROM asked)
                   ELSE immich_indexer_2.matches(p.document, p.overflow, p.long_facts, $9::jsonb) END)
    LIMIT $10::integer
) AS hit
GROUP BY span.year ORDER BY span.year DESC;
