-- Asked by indexer/work/reconcile.py. Each takes $1, the last id looked at, and $2, how many ids to look at, and walks assets in id
-- order: one short statement a page, whatever the size of the library.

-- name: missing
-- Photos that should have results and have none, or have older ones: no job waits for them, nor was just that given up. $3, $4:
-- the models in use, null where a task is off. Wishes for them, and returns how far it looked and how many it found.
WITH page AS (
    SELECT a.id, eligible(a) AS eligible
    FROM public.asset a WHERE a.id > $1 ORDER BY a.id LIMIT $2
), wanting AS (
    SELECT page.id,
        CASE WHEN $3::text IS NOT NULL AND (p.clip IS NULL OR p.clip_model IS DISTINCT FROM $3
            OR p.preview_updated_at <> f."updatedAt") THEN ARRAY['clip'] ELSE '{}' END
        || CASE WHEN $4::text IS NOT NULL AND (p.lines IS NULL OR p.ocr_model IS DISTINCT FROM $4
            OR p.preview_updated_at <> f."updatedAt") THEN ARRAY['ocr'] ELSE '{}' END AS tasks
    FROM page
    JOIN public.asset_file f ON f."assetId" = page.id AND f.type = 'preview' AND NOT f."isEdited"
    LEFT JOIN immich_indexer.photo p ON p.asset_id = page.id
    WHERE page.eligible AND NOT EXISTS (SELECT FROM immich_indexer.job j WHERE j.asset_id = page.id AND NOT j.dead)
), requested AS (
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT id, tasks, priority(backfill) FROM wanting w
    WHERE cardinality(tasks) > 0 AND NOT EXISTS (
        SELECT FROM immich_indexer.job j
        WHERE j.asset_id = w.id AND w.tasks <@ ARRAY(SELECT rtrim(task, '!') FROM unnest(j.tasks) AS task))
    RETURNING 1
)
SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM requested) AS found;

-- name: undone
-- Photos whose results are missing from Immich's columns (wiped, truncated, restored), or whose document is of another
-- tokeniser ($3) or of another date, or whose vector holds words by another version ($4): found by what is not there, without
-- reading vectors or texts.
WITH page AS (
    SELECT p.* FROM immich_indexer.photo p WHERE p.asset_id > $1 ORDER BY p.asset_id LIMIT $2
)
SELECT (SELECT asset_id FROM page ORDER BY asset_id DESC LIMIT 1) AS last, ARRAY(
    SELECT page.asset_id FROM page JOIN public.asset a ON a.id = page.asset_id
    WHERE eligible(a)
      AND (page.clip IS NOT NULL AND (page.vector_version <> $4
               OR NOT EXISTS (SELECT FROM public.smart_search s WHERE s."assetId" = page.asset_id))
        OR page.lines IS NOT NULL AND (
            page.tokens_version <> $3 OR page.taken_at IS DISTINCT FROM a."fileCreatedAt"
            OR jsonb_array_length(page.lines) > 0
               AND NOT EXISTS (SELECT FROM public.asset_ocr o WHERE o."assetId" = page.asset_id)
            OR page.text <> '' AND NOT EXISTS (SELECT FROM public.ocr_search s WHERE s."assetId" = page.asset_id AND s.text <> '')
            OR NOT EXISTS (SELECT FROM public.asset_job_status s WHERE s."assetId" = page.asset_id AND s."ocrAt" IS NOT NULL)))
    ORDER BY page.asset_id
) AS assets;

-- name: altered
-- Photos whose vector in Immich's column, of width $3, is not the one we wrote, or whose number of lines is not ours: another model
-- answered (a fail-over URL, or Immich's own job), or two writers at once doubled the lines. Reads vectors, so most rounds ask
-- only for photos indexed since $4, which Immich's own jobs may just have been at.
WITH page AS (
    SELECT p.* FROM immich_indexer.photo p WHERE p.asset_id > $1 AND p.indexed_at > $4 ORDER BY p.asset_id LIMIT $2
)
SELECT (SELECT asset_id FROM page ORDER BY asset_id DESC LIMIT 1) AS last, ARRAY(
    SELECT page.asset_id FROM page
    JOIN public.asset a ON a.id = page.asset_id
    LEFT JOIN public.smart_search s ON s."assetId" = page.asset_id
    WHERE eligible(a)
      AND (vector_dims(page.clip) <= $3 AND md5(vector_send(s.embedding))::uuid IS DISTINCT FROM page.vector_hash
        OR page.lines IS NOT NULL AND jsonb_array_length(page.lines) <>
            (SELECT count(*) FROM public.asset_ocr o WHERE o."assetId" = page.asset_id))
    ORDER BY page.asset_id
) AS assets;

-- name: orphans
-- Forgets photos that Immich deleted for good.
DELETE FROM immich_indexer.photo p WHERE NOT EXISTS (SELECT FROM public.asset a WHERE a.id = p.asset_id);

-- name: foreign_vectors
-- Photos to be indexed whose vector in Immich's column is not of our making: `queued`, `given_up`, or `missed`, which `missing`
-- would find. Trashed, hidden and offline ones keep theirs until they come back.
SELECT count(*) FILTER (WHERE NOT dead) AS queued, count(*) FILTER (WHERE dead) AS given_up,
       count(*) FILTER (WHERE dead IS NULL) AS missed
FROM (
    SELECT bool_and(request.dead) AS dead
    FROM public.smart_search s
    JOIN public.asset a ON a.id = s."assetId"
    JOIN public.asset_file f ON f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited"
    LEFT JOIN (
        SELECT asset_id, dead FROM immich_indexer.job UNION ALL SELECT asset_id, false FROM immich_indexer.inbox
    ) AS request ON request.asset_id = a.id
    WHERE eligible(a)
      AND NOT EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = a.id AND p.clip IS NOT NULL)
    GROUP BY a.id
) AS foreign_one;

-- name: vectors_file
-- Where the rows of Immich's vectors are: another file once the table was emptied by TRUNCATE, or its column made wider.
SELECT pg_relation_filenode(to_regclass('public.smart_search'));

