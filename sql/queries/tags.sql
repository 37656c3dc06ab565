-- Asked by indexer/queue/tags.py: the tags reindex, reindex/ocr and reindex/clip.

-- name: missed
-- Enqueues tagged photos whose request was missed (a backup was restored, or a trigger failed). Returns how many.
WITH missing AS (
    SELECT x."assetId" AS asset_id, x."tagId" AS tag_id, lower(t.value) AS value
    FROM public.tag t JOIN public.tag_asset x ON x."tagId" = t.id
    WHERE lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip')
      AND NOT EXISTS (SELECT FROM immich_indexer.tagged d WHERE d.asset_id = x."assetId" AND d.tag_id = x."tagId")
      AND NOT EXISTS (SELECT FROM immich_indexer.inbox i WHERE i.asset_id = x."assetId" AND i.tag_id = x."tagId")
), requested AS (
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority, tag_id)
    SELECT asset_id,
        CASE value WHEN 'reindex/ocr' THEN '{ocr!}' WHEN 'reindex/clip' THEN '{clip!}' ELSE '{clip!,ocr!}' END::text[], priority(bulk), tag_id
    FROM missing RETURNING 1
)
SELECT count(*) AS found, pg_notify('immich_indexer', '') FROM requested HAVING count(*) > 0;

-- name: enqueue
-- The same for photo $1, if it is shown to its owner $2. Returns whether it is, and whether it has such a tag. Of several concurrent
-- callers only the first to remember the tag makes a request. What the trigger requested is in the inbox, or remembered. If more
-- than $3 requests that people wait for are in the queue, it goes behind new uploads.
WITH photo AS (
    SELECT a.id FROM public.asset a WHERE a.id = $1 AND a."ownerId" = $2 AND listed(a)
), tags AS (
    SELECT x."assetId" AS asset_id, x."tagId" AS tag_id, lower(t.value) AS value
    FROM photo JOIN public.tag_asset x ON x."assetId" = photo.id JOIN public.tag t ON t.id = x."tagId"
    WHERE lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip')
), remembered AS (
    INSERT INTO immich_indexer.tagged (asset_id, tag_id)
    SELECT asset_id, tag_id FROM tags
    WHERE NOT EXISTS (SELECT FROM immich_indexer.inbox i WHERE i.asset_id = tags.asset_id AND i.tag_id = tags.tag_id)
    ON CONFLICT DO NOTHING RETURNING asset_id, tag_id
), requested AS (
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority, tag_id)
    SELECT asset_id,
        CASE value WHEN 'reindex/ocr' THEN '{ocr!}' WHEN 'reindex/clip' THEN '{clip!}' ELSE '{clip!,ocr!}' END::text[],
        CASE WHEN (SELECT count(*) FROM immich_indexer.inbox WHERE priority <= priority(request))
                + (SELECT count(*) FROM immich_indexer.job WHERE worker IS NULL AND NOT dead AND priority <= priority(request)) < $3
            THEN priority(request) ELSE priority(bulk) END,
        tag_id
    FROM remembered JOIN tags USING (asset_id, tag_id) RETURNING 1
), notified AS (
    SELECT pg_notify('immich_indexer', '') FROM requested LIMIT 1
)
SELECT EXISTS (SELECT FROM photo) AS theirs, EXISTS (SELECT FROM tags) AS tagged, (SELECT count(*) FROM notified) AS notified;

-- name: forget
-- Forgets tags that were removed, or renamed.
DELETE FROM immich_indexer.tagged d
WHERE NOT EXISTS (
    SELECT FROM public.tag_asset x JOIN public.tag t ON t.id = x."tagId"
    WHERE x."assetId" = d.asset_id AND x."tagId" = d.tag_id AND lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip'));

-- name: done
-- For each tag but $1: up to $2 photos that were read and still have it. A failed photo keeps its tag. A tag that was renamed meanwhile
-- is no request any more, and stays.
SELECT tag_id, assets[:$2] AS assets FROM (
    SELECT d.tag_id, array_agg(d.asset_id ORDER BY d.asset_id) AS assets
    FROM immich_indexer.tagged d
    JOIN public.tag_asset x ON x."assetId" = d.asset_id AND x."tagId" = d.tag_id
    JOIN public.tag t ON t.id = d.tag_id AND lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip')
    WHERE d.tag_id <> ALL ($1::uuid[])
      AND NOT EXISTS (SELECT FROM immich_indexer.job j WHERE j.asset_id = d.asset_id)
      AND NOT EXISTS (SELECT FROM immich_indexer.inbox i WHERE i.asset_id = d.asset_id)
    GROUP BY d.tag_id
) AS tags;
