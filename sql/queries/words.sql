-- Asked by gateway/words.py: photos as Immich's column has them, for the questions that `ocr:` and hybrid searches ask. Never
-- a photo that a person does not see in a search: locked, hidden, in the trash.

-- name: patience
SELECT set_config('statement_timeout', $1, true);

-- name: by_index
-- A thousand rows looked up one by one take as long in any library; joins that read whole tables do not.
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('enable_seqscan', 'off', true);

-- name: matches
-- Photos whose visible text holds what $1 asks for: of each owner as many as of any other while there are any, $3 in all. The
-- text index (photo_document) names them, of which no more than $2 are looked at; the rest are look-ups by primary key.
WITH found AS (
    SELECT p.asset_id FROM immich_indexer.photo p WHERE p.document @@ $1::text::tsquery LIMIT $2
), visible AS (
    SELECT a.id, a."ownerId" AS owner, row_number() OVER (PARTITION BY a."ownerId" ORDER BY a.id) AS place
    FROM found f JOIN public.asset a ON a.id = f.asset_id
    WHERE a."deletedAt" IS NULL AND a.status = 'active' AND a.visibility IN ('timeline', 'archive')
), chosen AS (
    SELECT id, owner FROM visible ORDER BY place, id LIMIT $3
)
SELECT chosen.owner, vector_send(s.embedding) AS vector
FROM chosen JOIN public.smart_search s ON s."assetId" = chosen.id;

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
