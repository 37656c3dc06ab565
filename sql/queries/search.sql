-- Asked by indexer/search/words.py. In all of them: $1 the owners (null: everybody), $2, $3 taken from and until (null: any time), $4
-- the visibilities to search.

-- name: ranked
-- Of the photos that a text query matches, the $10 newest after the first $9, ranked. $5 has a tsquery without positions for each
-- window of days, newest first. The next window is searched only while there are too few photos. The planner does not know the
-- query, so it always uses the index, and the LIMIT bounds what is read from the table. $6: the tsquery with positions, null where
-- $5 is exact. $7, $8: phrases that must be and must not be in texts that are too long for positions. $11, $12: n-grams and words
-- for ranking. $13: the query as typed. $14: pieces that the text contains if it is in the script of Chinese that was typed (a line
-- may end inside a piece). Empty where both scripts are the same, and then no text is read.
WITH asked AS MATERIALIZED (
    SELECT $11::text::tsquery AS ngrams, $12::text::tsquery || immich_indexer.words($13::text) AS words
), found AS (
    SELECT hit.*
    FROM unnest($5::text[]) WITH ORDINALITY AS span (query, nth)
    CROSS JOIN LATERAL (
        SELECT p.asset_id, (
                ln(1.05::float8 + ts_rank_cd('{0, 0.25, 0.5, 1}', p.document, (SELECT ngrams FROM asked)))
                + CASE WHEN ts_rank('{1, 0, 0, 0}', p.document, (SELECT words FROM asked)) > 0 THEN 0.5::float8 ELSE 0 END
            ) / (1 + ln(1 + length(p.document))) AS score,
            NOT EXISTS (
                SELECT FROM unnest($14::text[]) piece
                WHERE position(piece IN replace(replace(p.text, E'\n', ''), ' ', '')) = 0
            ) AS as_typed
        FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
        WHERE p.document @@ span.query::tsquery
          AND CASE WHEN p.overflow IS NULL THEN $6::text IS NULL OR p.document @@ $6::text::tsquery
                   ELSE NOT EXISTS (SELECT FROM unnest($7::text[]) phrase WHERE position(phrase IN p.overflow) = 0)
                    AND NOT EXISTS (SELECT FROM unnest($8::text[]) phrase WHERE position(phrase IN p.overflow) > 0) END
          AND a."deletedAt" IS NULL AND a.status = 'active' AND a.visibility::text = ANY ($4::text[])
          AND ($1::uuid[] IS NULL OR a."ownerId" = ANY ($1::uuid[]))
          AND ($2::timestamptz IS NULL OR a."fileCreatedAt" >= $2) AND ($3::timestamptz IS NULL OR a."fileCreatedAt" <= $3)
        LIMIT $9::integer + $10::integer
    ) hit
    OFFSET $9::integer LIMIT $10::integer
)
SELECT asset_id, score, as_typed FROM found ORDER BY as_typed DESC, score DESC, asset_id;

-- name: described
-- OFFSET 0: look up each photo by its key, whatever the planner thinks about the sizes of the tables.
SELECT p.asset_id, p.file_name, p.text
FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (id, nth)
CROSS JOIN LATERAL (
    SELECT p.asset_id, a."originalFileName" AS file_name, p.text
    FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
    WHERE p.asset_id = wanted.id AND a.id = wanted.id OFFSET 0
) p
ORDER BY wanted.nth;
