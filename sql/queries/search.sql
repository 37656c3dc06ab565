-- Asked by indexer/search.py. In all of them: $1 whose photos (null: everybody's), $2, $3 taken from and up to when (null: any
-- time), $4 the visibilities that count.

-- name: ranked
-- Of the photos that a text query matches, those of at most $9 newest after the first $8, ranked. $5 holds the query once for
-- each window of days, newest first: the next window is looked into only while there are too few. A window's query is not known
-- when this is planned, so it always goes through the index, and the LIMIT bounds what is read from the table. $6, $7: phrases
-- that must and must not be in texts too long for their document to tell. $10, $11: what ranks, n-grams and words; $12 as typed.
WITH found AS MATERIALIZED (
    SELECT hit.*
    FROM unnest($5::text[]) WITH ORDINALITY AS span (query, nth)
    CROSS JOIN LATERAL (
        SELECT p.asset_id, p.document
        FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
        WHERE p.document @@ span.query::tsquery
          AND (p.overflow IS NULL
               OR NOT EXISTS (SELECT FROM unnest($6::text[]) phrase WHERE position(phrase IN p.overflow) = 0)
              AND NOT EXISTS (SELECT FROM unnest($7::text[]) phrase WHERE position(phrase IN p.overflow) > 0))
          AND a."deletedAt" IS NULL AND a.status = 'active' AND a.visibility::text = ANY ($4::text[])
          AND ($1::uuid[] IS NULL OR a."ownerId" = ANY ($1::uuid[]))
          AND ($2::timestamptz IS NULL OR a."fileCreatedAt" >= $2) AND ($3::timestamptz IS NULL OR a."fileCreatedAt" <= $3)
        LIMIT $8::integer + $9::integer
    ) hit
    OFFSET $8::integer LIMIT $9::integer
), asked AS MATERIALIZED (
    SELECT $10::text::tsquery AS ngrams, $11::text::tsquery || immich_indexer.words($12::text) AS words
)
SELECT asset_id, (
        0.05
        + ln(1 + ts_rank_cd('{0, 0.25, 0.5, 1}', document, asked.ngrams))
        + 0.5 * (ts_rank('{1, 0, 0, 0}', document, asked.words) > 0)::integer
    )::float8 / (1 + ln(1 + length(document))) AS score
FROM found, asked
ORDER BY score DESC, asset_id;

-- name: described
SELECT p.asset_id, a."originalFileName" AS file_name, p.text
FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (id, nth)
JOIN immich_indexer.photo p ON p.asset_id = wanted.id JOIN public.asset a ON a.id = wanted.id
ORDER BY wanted.nth;
