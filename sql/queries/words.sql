-- Asked by gateway/ml/words.py: photos as Immich's column has them, for the questions that `ocr:` and hybrid searches ask. Never
-- a photo that a person does not see in a search: locked, hidden, in the trash.

-- name: by_index
-- Each statement may take $1 milliseconds. Some thousand rows looked up one by one take as long in any library; joins that read
-- whole tables do not, and a plan from when Immich's column was empty would.
SELECT set_config('statement_timeout', $1, true), set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true);

-- name: by_hash
-- A whole library is read table by table, also where the planner still takes them for empty.
SELECT set_config('statement_timeout', $1, true), set_config('enable_nestloop', 'off', true);

-- name: owners
SELECT id FROM public."user" ORDER BY id LIMIT $1;

-- name: matches
-- Up to $7 photos whose visible text matches, of each of the owners $1 as many as of any other while there are any. $2: for each
-- owner the tsquery, without places, of theirs; the text index (photo_document) names them, up to $6 each. $3: the tsquery with
-- places, null where $2 tells all; $4, $5: phrases that must and must not be in texts too long for their document to tell.
SELECT hit.asset_id AS id, bucket.owner
FROM unnest($1::uuid[], $2::text[]) AS bucket (owner, query)
CROSS JOIN LATERAL (
    SELECT p.asset_id, row_number() OVER () AS place
    FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
    WHERE p.document @@ bucket.query::tsquery AND a."ownerId" = bucket.owner
      AND CASE WHEN p.overflow IS NULL THEN $3::text IS NULL OR p.document @@ $3::text::tsquery
               ELSE NOT EXISTS (SELECT FROM unnest($4::text[]) phrase WHERE position(phrase IN p.overflow) = 0)
                AND NOT EXISTS (SELECT FROM unnest($5::text[]) phrase WHERE position(phrase IN p.overflow) > 0) END
      AND a."deletedAt" IS NULL AND a.status = 'active' AND a.visibility IN ('timeline', 'archive')
    LIMIT $6
) hit
ORDER BY hit.place LIMIT $7;

-- name: vectors
-- The photos $1 with their vectors: from Immich's column, of width $2, where it holds what we wrote there by version $3 of the
-- words or another's vector, otherwise what it is to hold, `clip` and `text`. A column that was emptied is no reason to wait.
-- OFFSET 0: each vector is fetched once, not wherever it is named.
SELECT asked.id, asked.owner, s.vector, CASE WHEN s.vector IS NULL THEN halfvec_send(p.clip) END AS clip,
       CASE WHEN s.vector IS NULL THEN p.text END AS text
FROM (SELECT a.id, a."ownerId" AS owner FROM unnest($1::uuid[]) AS id JOIN public.asset a USING (id)) asked
LEFT JOIN immich_indexer.photo p ON p.asset_id = asked.id
LEFT JOIN LATERAL (
    SELECT sent.vector
    FROM (SELECT vector_send(c.embedding) AS vector FROM public.smart_search c WHERE c."assetId" = asked.id OFFSET 0) sent
    WHERE octet_length(sent.vector) = 4 + 4 * $2::int
      AND (p.clip IS NULL OR p.vector_version = $3 AND p.vector_hash = md5(sent.vector)::uuid)
) s ON true
WHERE s.vector IS NOT NULL OR p.clip IS NOT NULL;

-- name: state
-- Of the photos that a sample is taken from how many there are, up to $1, and a hash that changes when any of them does.
SELECT count(*) AS photos, coalesce(sum(hashtextextended(hash, 0)), 0)::text AS hash FROM (
    SELECT concat_ws(' ', a.id, p.xmin, s.xmin) AS hash
    FROM public.asset a
    LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
    LEFT JOIN public.smart_search s ON s."assetId" = a.id
    WHERE (p.clip IS NOT NULL OR s."assetId" IS NOT NULL)
      AND a."deletedAt" IS NULL AND a.status = 'active' AND a.visibility IN ('timeline', 'archive')
    LIMIT $1
) seen;

-- name: grown
-- How many photos were read since $1, up to $2.
SELECT count(*) AS count FROM (SELECT FROM immich_indexer.photo WHERE indexed_at > $1 LIMIT $2) seen;

-- name: sample
-- $1 photos at random, as many of each owner as of any other while there are any, and as many with text as without; and of how
-- many, when.
WITH visible AS (
    SELECT a.id, a."ownerId" AS owner, p.text <> '' AS worded
    FROM public.asset a
    LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
    LEFT JOIN public.smart_search s ON s."assetId" = a.id
    WHERE (p.clip IS NOT NULL OR s."assetId" IS NOT NULL)
      AND a."deletedAt" IS NULL AND a.status = 'active' AND a.visibility IN ('timeline', 'archive')
), chosen AS (
    SELECT id FROM visible ORDER BY row_number() OVER (PARTITION BY owner, worded ORDER BY random()) LIMIT $1
)
SELECT now() AS time, (SELECT count(*) FROM visible) AS photos, array(SELECT id FROM chosen) AS ids;
