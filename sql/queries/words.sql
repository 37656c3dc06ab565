-- Asked by gateway/ml/words.py: photos as Immich's column has them, for the questions that `ocr:` and hybrid searches ask. Never
-- a photo that a person does not see in a search: locked, hidden, in the trash.

-- name: patience
SELECT set_config('statement_timeout', $1, true);

-- name: by_index
-- A thousand rows looked up one by one take as long in any library; joins that read whole tables do not.
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('enable_seqscan', 'off', true);

-- name: owners
SELECT id FROM public."user" ORDER BY id LIMIT $1;

-- name: matches
-- Up to $7 photos whose visible text matches, of each of the owners $1 as many as of any other while there are any. $2: for each
-- owner the tsquery, without places, of theirs; the text index (photo_document) names them, up to $6 each, and the rest are
-- look-ups by primary key. $3: the tsquery with places, null where $2 tells all; $4, $5: phrases that must and must not be in
-- texts too long for their document to tell.
WITH found AS MATERIALIZED (
    SELECT shelf.owner, hit.asset_id, row_number() OVER (PARTITION BY shelf.owner) AS place
    FROM unnest($1::uuid[], $2::text[]) AS shelf (owner, query)
    CROSS JOIN LATERAL (
        SELECT p.asset_id
        FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
        WHERE p.document @@ shelf.query::tsquery AND a."ownerId" = shelf.owner
          AND CASE WHEN p.overflow IS NULL THEN $3::text IS NULL OR p.document @@ $3::text::tsquery
                   ELSE NOT EXISTS (SELECT FROM unnest($4::text[]) phrase WHERE position(phrase IN p.overflow) = 0)
                    AND NOT EXISTS (SELECT FROM unnest($5::text[]) phrase WHERE position(phrase IN p.overflow) > 0) END
          AND a."deletedAt" IS NULL AND a.status = 'active' AND a.visibility IN ('timeline', 'archive')
        LIMIT $6
    ) hit
    ORDER BY place LIMIT $7
)
SELECT found.owner, vector_send(s.embedding) AS vector
FROM found JOIN public.smart_search s ON s."assetId" = found.asset_id;

-- name: sample
-- $1 photos at random, as many of each owner as of any other while there are any, and as many with text as without.
WITH visible AS (
    SELECT a.id, a."ownerId" AS owner, p.text <> '' AS worded FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
    WHERE p.clip IS NOT NULL
      AND a."deletedAt" IS NULL AND a.status = 'active' AND a.visibility IN ('timeline', 'archive')
), chosen AS (
    SELECT id, owner FROM visible
    ORDER BY row_number() OVER (PARTITION BY owner, worded ORDER BY random()) LIMIT $1
)
SELECT chosen.owner, vector_send(s.embedding) AS vector
FROM chosen JOIN public.smart_search s ON s."assetId" = chosen.id;
