-- Asked by indexer/work/reconcile.py. Each statement takes $1, the last id checked, and $2, how many ids to check. It goes through the
-- assets in the order of their ids, one short statement for each page, however large the library is.

-- name: missing
-- Photos that should have results but have none, or older ones. They have no waiting job, the same tasks were not just given up, and no
-- event has just told of them. $3, $4: the models in use, null where a task is off; $5: the next CLIP model, if any (which an event does
-- not name). Enqueues them. Returns the last id checked and how many were found.
WITH page AS (
    SELECT a.id, eligible(a) AS eligible
    FROM public.asset a WHERE a.id > $1 ORDER BY a.id LIMIT $2
), wanting AS (
    SELECT page.id,
        CASE WHEN $3::text IS NOT NULL AND (NOT (p.clip IS NOT NULL AND coalesce(p.clip_model = $3, false)
                OR EXISTS (SELECT FROM immich_indexer_3.vector v WHERE v.model = $3 AND v.asset_id = page.id
                           AND v.digest IS NOT DISTINCT FROM p.digest))
            OR p.preview_updated_at <> f."updatedAt") THEN ARRAY['clip'] ELSE '{}' END
        || CASE WHEN $5::text IS NOT NULL AND (NOT (p.clip IS NOT NULL AND coalesce(p.clip_model = $5, false)
                OR EXISTS (SELECT FROM immich_indexer_3.vector v WHERE v.model = $5 AND v.asset_id = page.id
                           AND v.digest IS NOT DISTINCT FROM p.digest))
            OR p.preview_updated_at <> f."updatedAt") THEN ARRAY['next'] ELSE '{}' END
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
      AND NOT EXISTS (SELECT FROM immich_indexer.inbox i WHERE i.asset_id = w.id AND i.tasks @> array_remove(w.tasks, 'next'))
    RETURNING 1
)
SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM requested) AS found;

-- name: undone
-- Photos whose results are missing from Immich's columns (deleted, truncated, restored), or whose document has another version of the
-- tokeniser ($3) or another date, or whose vector has another version of the words ($4). It does not read texts, and vectors only of
-- photos without one in Immich's column, of width $5: a wider one does not fit there.
WITH page AS (
    SELECT p.* FROM immich_indexer.photo p WHERE p.asset_id > $1 ORDER BY p.asset_id LIMIT $2
)
SELECT (SELECT asset_id FROM page ORDER BY asset_id DESC LIMIT 1) AS last, ARRAY(
    SELECT page.asset_id FROM page JOIN public.asset a ON a.id = page.asset_id
    WHERE eligible(a)
      AND ((page.vector_version <> $4 OR NOT EXISTS (SELECT FROM public.smart_search s WHERE s."assetId" = page.asset_id))
               AND vector_dims(vector_of(page)) <= $5 AND model(current) IS DISTINCT FROM 'immich'
        OR page.lines IS NOT NULL AND (
            page.tokens_version <> $3 OR page.taken_at IS DISTINCT FROM a."fileCreatedAt"
            OR jsonb_array_length(page.lines) > 0
               AND NOT EXISTS (SELECT FROM public.asset_ocr o WHERE o."assetId" = page.asset_id)
            OR page.text <> '' AND NOT EXISTS (SELECT FROM public.ocr_search s WHERE s."assetId" = page.asset_id AND s.text <> '')
            OR NOT EXISTS (SELECT FROM public.asset_job_status s WHERE s."assetId" = page.asset_id AND s."ocrAt" IS NOT NULL)))
    ORDER BY page.asset_id
) AS assets;

-- name: altered
-- Photos whose vector in Immich's column, of width $3, is not the one that we wrote, or whose number of lines differs from ours. Another
-- model answered (a second URL in Immich, or Immich's own job), or two writers at once doubled the lines. It reads vectors. So most
-- rounds only check photos indexed since $4, which Immich's own jobs may just have written.
WITH page AS (
    SELECT p.* FROM immich_indexer.photo p WHERE p.asset_id > $1 AND p.indexed_at > $4 ORDER BY p.asset_id LIMIT $2
)
SELECT (SELECT asset_id FROM page ORDER BY asset_id DESC LIMIT 1) AS last, ARRAY(
    SELECT page.asset_id FROM page
    JOIN public.asset a ON a.id = page.asset_id
    LEFT JOIN public.smart_search s ON s."assetId" = page.asset_id
    WHERE eligible(a)
      AND (vector_dims(vector_of(page)) <= $3 AND model(current) IS DISTINCT FROM 'immich'
               AND md5(vector_send(s.embedding))::uuid IS DISTINCT FROM mark_of(page)
        OR page.lines IS NOT NULL AND jsonb_array_length(page.lines) <>
            (SELECT count(*) FROM public.asset_ocr o WHERE o."assetId" = page.asset_id))
    ORDER BY page.asset_id
) AS assets;

-- name: orphans
-- Deletes our rows of photos that Immich deleted for good, and of those that were not read and are no longer eligible. In the order in
-- which all lock our rows.
DELETE FROM immich_indexer.photo WHERE asset_id = ANY (ARRAY(
    SELECT p.asset_id FROM immich_indexer.photo p
    WHERE NOT EXISTS (SELECT FROM public.asset a WHERE a.id = p.asset_id AND (p.digest IS NOT NULL OR eligible(a)))
    ORDER BY p.asset_id FOR UPDATE));

-- name: foreign_vectors
-- Photos to be indexed whose vector in Immich's column is not ours: `queued`, `given_up`, or `missed`, which `missing` would find.
-- Trashed, hidden and offline photos keep their vector until they come back.
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
      AND NOT EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = a.id AND vector_of(p) IS NOT NULL)
      AND model(current) IS DISTINCT FROM 'immich'
    GROUP BY a.id
) AS foreign_one;

-- name: vectors_file
-- The file with the rows of Immich's vectors. It is another file after a TRUNCATE of the table, or a change of the column's width.
SELECT pg_relation_filenode(to_regclass('public.smart_search'));

