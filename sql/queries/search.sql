-- Asked by indexer/search/words.py. In all of them: $1 the owners (null: everybody), $2, $3 taken from and until (null: any time), $4
-- the visibilities to search.

-- name: ranked
-- Of the photos that a text query matches, the $10 newest after the first $9, ranked. $5 has a tsquery without positions for each
-- window of days, newest first. The next window is searched only while there are too few photos. The planner does not know the
-- query, so it always uses the index, and the LIMIT bounds what is read from the table. $6: the tsquery with positions, null where
-- $5 is exact. $7: the same for documents without all positions (see the function `matches`). $8, $11: for ranking, n-grams and words
-- of the text. $12: the words as typed. $13: pieces that the text contains if it is in the script of Chinese that was typed (a line may
-- end inside a piece). Empty where both scripts are the same, and then no text is read. $14, $15, $16: for each wanted word the
-- tsqueries of being in a place of grade 3, 2 and 1 (question.py), null where that is not asked for; empty where there is only one place.
-- $17: of how many photos that the only tsquery in $5 finds, at most, those taken last come first. 0: $5 has windows of days.
-- `possible`: how many it found. There is always a row, without a photo if none is found.
WITH asked AS MATERIALIZED (
    SELECT $6::text::tsquery AS literal, $8::text::tsquery AS ngrams, $11::text::tsquery || immich_indexer.words($12::text) AS words
), places AS MATERIALIZED (
    SELECT good::tsquery, fair::tsquery, poor::tsquery FROM unnest($14::text[], $15::text[], $16::text[]) AS place (good, fair, poor)
), possible AS MATERIALIZED (
    SELECT p.asset_id, p.taken_at
    FROM unnest($5::text[]) AS span (query) JOIN immich_indexer.photo p ON p.document @@ span.query::tsquery
    WHERE $17::integer > 0 LIMIT $17::integer
), found AS (
    SELECT hit.*
    FROM unnest($5::text[]) WITH ORDINALITY AS span (query, nth)
    CROSS JOIN LATERAL (
        SELECT p.asset_id, (
                ln(1.05::float8 + ts_rank_cd('{0, 0.25, 0.5, 1}', p.document, (SELECT ngrams FROM asked)))
                + CASE WHEN ts_rank('{1, 0, 0, 0}', p.document, (SELECT words FROM asked)) > 0 THEN 0.5::float8 ELSE 0 END
            ) / (1 + ln(1 + coalesce(p.text_size, length(p.document)))) AS score,
            NOT EXISTS (
                SELECT FROM unnest($13::text[]) piece
                WHERE position(piece IN replace(replace(p.text, E'\n', ''), ' ', '')) = 0
            ) AS as_typed,
            (
                SELECT avg(CASE WHEN p.document @@ good THEN 3 WHEN p.document @@ fair THEN 2 WHEN p.document @@ poor THEN 1 END)
                FROM places
            )::float8 AS grade
        FROM (
            SELECT p.* FROM immich_indexer.photo p WHERE $17::integer = 0 AND p.document @@ span.query::tsquery
            UNION ALL
            SELECT p.*
            FROM (SELECT asset_id FROM possible ORDER BY taken_at DESC NULLS LAST, asset_id) AS newest
            CROSS JOIN LATERAL (SELECT * FROM immich_indexer.photo WHERE asset_id = newest.asset_id OFFSET 0) AS p
            WHERE $17::integer > 0
        ) AS p JOIN public.asset a ON a.id = p.asset_id
        WHERE ($6::text IS NULL
               OR CASE WHEN p.overflow IS NULL AND p.long_facts IS NULL THEN p.document @@ (SELECT literal FROM asked)
                       ELSE immich_indexer_2.matches(p.document, p.overflow, p.long_facts, $7::jsonb) END)
          AND present(a) AND a.visibility::text = ANY ($4::text[])
          AND ($1::uuid[] IS NULL OR a."ownerId" = ANY ($1::uuid[]))
          AND ($2::timestamptz IS NULL OR a."fileCreatedAt" >= $2) AND ($3::timestamptz IS NULL OR a."fileCreatedAt" <= $3)
        LIMIT $9::integer + $10::integer
    ) hit
    OFFSET $9::integer LIMIT $10::integer
)
SELECT asset_id, score, as_typed, coalesce(grade, 3) AS grade, possible.count AS possible
FROM (SELECT count(*) FROM possible) AS possible LEFT JOIN found ON true
ORDER BY as_typed DESC, coalesce(grade, 3) DESC, score DESC, asset_id;

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
