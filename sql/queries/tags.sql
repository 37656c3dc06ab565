-- Asked by indexer/queue/tags.py: the tags reindex, reindex/ocr and reindex/clip.

-- name: missed
-- Photos with such a tag that was not taken as a request (a backup was restored, or a trigger failed), or with a request for a tag that is
-- gone.
SELECT coalesce(x."assetId", d.asset_id) AS asset_id
FROM (SELECT g."assetId", g."tagId" FROM public.tag t JOIN public.tag_asset g ON g."tagId" = t.id WHERE requests(t)) AS x
FULL JOIN immich_indexer.tagged d ON d.asset_id = x."assetId" AND d.tag_id = x."tagId"
WHERE d.asset_id IS NULL OR x."assetId" IS NULL;

-- name: look
-- Takes each such tag of the photos $1 as a request, once. Tags that were removed or renamed are forgotten, so that they are a request when
-- they are there again. Of several concurrent callers only the first to remember a tag makes a request. If there are more than $2 that
-- people wait for, they go behind new uploads. Returns how many were made.
WITH present AS (
    SELECT x."assetId" AS asset_id, x."tagId" AS tag_id, lower(t.value) AS value
    FROM public.tag_asset x JOIN public.tag t ON t.id = x."tagId"
    WHERE x."assetId" = ANY ($1::uuid[]) AND requests(t)
), forgotten AS (
    DELETE FROM immich_indexer.tagged d
    WHERE d.asset_id = ANY ($1) AND (d.asset_id, d.tag_id) NOT IN (SELECT asset_id, tag_id FROM present)
), remembered AS (
    INSERT INTO immich_indexer.tagged (asset_id, tag_id)
    SELECT asset_id, tag_id FROM present ORDER BY asset_id, tag_id ON CONFLICT DO NOTHING RETURNING asset_id, tag_id
), requested AS (
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT asset_id,
        CASE value WHEN 'reindex/ocr' THEN '{ocr!}' WHEN 'reindex/clip' THEN '{clip!}' ELSE '{clip!,ocr!}' END::text[],
        CASE WHEN (SELECT count(*) FROM immich_indexer.inbox WHERE priority <= priority(request))
                + (SELECT count(*) FROM immich_indexer.job WHERE worker IS NULL AND NOT dead AND priority <= priority(request))
                + count(*) OVER () > $2
            THEN priority(bulk) ELSE priority(request) END
    FROM remembered JOIN present USING (asset_id, tag_id) RETURNING 1
)
SELECT count(*) AS found, pg_notify('immich_indexer', '') FROM requested HAVING count(*) > 0;

-- name: theirs
-- Whether photo $1 has such a tag. No row if it is not shown to its owner $2.
SELECT EXISTS (
    SELECT FROM public.tag_asset x JOIN public.tag t ON t.id = x."tagId" WHERE x."assetId" = a.id AND requests(t)) AS tagged
FROM public.asset a WHERE a.id = $1 AND a."ownerId" = $2 AND listed(a);

-- name: done
-- For each tag but $1: up to $2 photos that were read and still have it. A failed photo keeps its tag. A tag that was renamed meanwhile
-- is no request any more, and stays.
SELECT tag_id, assets[:$2] AS assets FROM (
    SELECT d.tag_id, array_agg(d.asset_id ORDER BY d.asset_id) AS assets
    FROM immich_indexer.tagged d
    JOIN public.tag_asset x ON x."assetId" = d.asset_id AND x."tagId" = d.tag_id
    JOIN public.tag t ON t.id = d.tag_id AND requests(t)
    WHERE d.tag_id <> ALL ($1::uuid[])
      AND NOT EXISTS (SELECT FROM immich_indexer.job j WHERE j.asset_id = d.asset_id)
      AND NOT EXISTS (SELECT FROM immich_indexer.inbox i WHERE i.asset_id = d.asset_id)
    GROUP BY d.tag_id
) AS tags;
