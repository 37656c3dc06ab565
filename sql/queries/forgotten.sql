-- Asked by indexer/immich/forgotten.py: work that Immich's own jobs left out and will not repeat by themselves.

-- name: forgotten
-- Photos in which faces were not looked for (`faces`), and photos with a vector of ours that was not compared with others
-- (`duplicates`). The conditions are those of Immich's own "missing" jobs. Only photos older than $1, so that Immich has had time.
SELECT
    (SELECT count(*) FROM asset a JOIN asset_job_status s ON s."assetId" = a.id
     WHERE a."deletedAt" IS NULL AND a.visibility <> 'hidden' AND s."facesRecognizedAt" IS NULL
       AND EXISTS (SELECT FROM asset_file f
                   WHERE f."assetId" = a.id AND f.type = 'preview' AND f."createdAt" < now() - $1::interval)) AS faces,
    (SELECT count(*) FROM asset a JOIN asset_job_status s ON s."assetId" = a.id
         JOIN smart_search v ON v."assetId" = a.id JOIN immich_indexer.photo p ON p.asset_id = a.id
     WHERE a."deletedAt" IS NULL AND a.visibility IN ('timeline', 'archive') AND s."duplicatesDetectedAt" IS NULL
       AND vector_of(p) IS NOT NULL AND p.indexed_at < now() - $1::interval) AS duplicates;
