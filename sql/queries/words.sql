-- Asked by gateway/ml/words.py: photos with their vectors in Immich's column, for `ocr:` and hybrid searches. Never photos that a search
-- does not show: locked, hidden, in the trash.

-- name: by_index
-- Each statement may take $1 milliseconds. These plans look up some thousand rows one by one, which takes equally long in any library.
-- Joins that read whole tables do not, nor would a plan made when Immich's column was empty.
SELECT set_config('statement_timeout', $1, true), set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true);

-- name: by_hash
-- These plans read a whole library table by table, even where the planner still thinks that the tables are empty.
SELECT set_config('statement_timeout', $1, true), set_config('enable_nestloop', 'off', true);

-- name: owners
SELECT id FROM public."user" ORDER BY id LIMIT $1;

-- name: matches
-- Up to $7 photos that match, equally many of each of the owners $1 while there are enough, and of those that match by their text and
-- by their facts. $2: for each owner the tsquery without positions. The text index (photo_document) finds at most $6 photos for each.
-- $3: the tsquery with positions, null where $2 is exact. $4: the same for documents without all positions (see the function
-- `matches`). `said`: the text alone fulfils $5.
SELECT hit.asset_id AS id, bucket.owner, hit.said
FROM unnest($1::uuid[], $2::text[]) AS bucket (owner, query)
CROSS JOIN LATERAL (
    SELECT found.*, row_number() OVER (PARTITION BY said) AS place
    FROM (
        SELECT p.asset_id, p.document @@ $5::text::tsquery AS said
        FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
        WHERE p.document @@ bucket.query::tsquery AND a."ownerId" = bucket.owner
          AND ($3::text IS NULL
               OR CASE WHEN p.overflow IS NULL AND p.long_facts IS NULL THEN p.document @@ $3::text::tsquery
                       ELSE immich_indexer_2.matches(p.document, p.overflow, p.long_facts, $4::jsonb) END)
          AND listed(a)
        LIMIT $6
    ) AS found
) hit
ORDER BY hit.place LIMIT $7;

-- name: vectors
-- The photos $1 with their vectors. From Immich's column, of width $2, where it has what we wrote with version $3 of the words, or
-- another writer's vector. Otherwise `clip`, `text` and `public_facts`, of which its content will be made, so an empty column is no
-- reason to wait.
-- OFFSET 0: each vector is read once, not for each mention.
SELECT asked.id, asked.owner, s.vector, CASE WHEN s.vector IS NULL THEN halfvec_send(vector_of(p)) END AS clip,
       CASE WHEN s.vector IS NULL THEN p.text END AS text, CASE WHEN s.vector IS NULL THEN public_facts(asked) END AS public_facts
FROM (SELECT a.id, a."ownerId" AS owner, a."originalFileName" FROM unnest($1::uuid[]) AS id JOIN public.asset a USING (id)) asked
LEFT JOIN immich_indexer.photo p ON p.asset_id = asked.id
LEFT JOIN LATERAL (
    SELECT sent.vector
    FROM (SELECT vector_send(c.embedding) AS vector FROM public.smart_search c WHERE c."assetId" = asked.id OFFSET 0) sent
    WHERE octet_length(sent.vector) = 4 + 4 * $2::int
      AND (vector_of(p) IS NULL OR p.vector_version = $3 AND mark_of(p) = md5(sent.vector)::uuid)
) s ON true
WHERE s.vector IS NOT NULL OR vector_of(p) IS NOT NULL;

-- name: state
-- The number of photos that a sample is taken from, up to $1, and a hash that changes when any of them changes.
SELECT count(*) AS photos, coalesce(sum(hashtextextended(hash, 0)), 0)::text AS hash FROM (
    SELECT concat_ws(' ', a.id, CASE WHEN vector_of(p) IS NOT NULL THEN p.xmin END, s.xmin) AS hash
    FROM public.asset a
    LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
    LEFT JOIN public.smart_search s ON s."assetId" = a.id
    WHERE (vector_of(p) IS NOT NULL OR s."assetId" IS NOT NULL)
      AND listed(a)
    LIMIT $1
) seen;

-- name: grown
-- How many photos were read since $1, up to $2.
SELECT count(*) AS count FROM (SELECT FROM immich_indexer.photo WHERE indexed_at > $1 LIMIT $2) seen;

-- name: sample
-- $1 random photos: equally many of each owner while there are enough, and equally many with and without text. Also the number of
-- photos, and the time.
WITH visible AS (
    SELECT a.id, a."ownerId" AS owner, p.text <> '' AS worded
    FROM public.asset a
    LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
    LEFT JOIN public.smart_search s ON s."assetId" = a.id
    WHERE (vector_of(p) IS NOT NULL OR s."assetId" IS NOT NULL)
      AND listed(a)
), chosen AS (
    SELECT id FROM visible ORDER BY row_number() OVER (PARTITION BY owner, worded ORDER BY random()) LIMIT $1
)
SELECT now() AS time, (SELECT count(*) FROM visible) AS photos, array(SELECT id FROM chosen) AS ids;
