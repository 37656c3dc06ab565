-- Asked by gateway/library.py. The gateway only reads.

-- name: width
-- The width of Immich's vector column, and whether Immich is changing it now.
SELECT atttypmod AS width, changing(width) AS changing
FROM pg_attribute WHERE attrelid = to_regclass('public.smart_search') AND attname = 'embedding' AND NOT attisdropped;

-- name: turning
-- Whether the model is being changed just now. While it is, nobody shares the lock.
SELECT NOT pg_try_advisory_xact_lock_shared(lock(turn));

-- name: column
-- As `width`, with the model whose vectors are in the column, and $1 as `turning`.
SELECT atttypmod AS width, changing(width) AS changing, $1::boolean AS turning, m.name, m.setting, m.dimensions
FROM pg_attribute LEFT JOIN immich_indexer_3.model m ON m.state = 'current'
WHERE attrelid = to_regclass('public.smart_search') AND attname = 'embedding' AND NOT attisdropped;

-- name: stored
-- The results for pictures with the digest $1, by CLIP model $2 and by OCR model $3, and the facts of the photo. Null where there are
-- none. Several photos may have that picture, also one of another user that is not read yet (it has the same checksum). Nobody knows
-- which of them is meant, so then facts count only where all have the same.
SELECT coalesce(
           (SELECT clip::real[] FROM immich_indexer.photo WHERE digest = $1 AND clip_model = $2 AND clip IS NOT NULL LIMIT 1),
           (SELECT v.embedding::real[] FROM immich_indexer.photo p JOIN immich_indexer_3.vector v ON v.asset_id = p.asset_id
                WHERE p.digest = $1 AND v.digest = $1 AND v.model = $2 LIMIT 1)) AS vector,
       (SELECT lines FROM immich_indexer.photo
            WHERE digest = $1 AND ocr_model = $3 AND lines IS NOT NULL LIMIT 1) AS lines,
       (SELECT CASE WHEN count(DISTINCT facts) = 1 THEN min(facts) END
        FROM (SELECT DISTINCT a.checksum FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
              WHERE p.digest = $1) AS known
        JOIN public.asset b ON b.checksum = known.checksum
        CROSS JOIN LATERAL (SELECT public_facts(b) AS facts) AS each
        WHERE eligible(b)) AS facts;

-- name: under_way
-- Photos, all or those in $1, that an indexer is reading or will read before any backfill. (Immich asks us about a photo only after
-- its request is in the inbox.) Refreshed thumbnails may become a request to read the photo. None where no indexer has been seen
-- for $2 seconds.
WITH coming AS (
    SELECT asset_id, tasks || running AS tasks FROM immich_indexer.job
    WHERE NOT dead AND (worker IS NOT NULL OR priority <= priority(upload) AND not_before <= now())
    UNION ALL
    SELECT asset_id, tasks FROM immich_indexer.inbox WHERE priority <= priority(upload)
)
SELECT DISTINCT asset_id FROM coming
WHERE tasks && '{clip,clip!,ocr,ocr!,refreshed}'::text[] AND ($1::uuid[] IS NULL OR asset_id = ANY ($1))
  AND EXISTS (SELECT FROM immich_indexer.worker WHERE seen_at > clock_timestamp() - make_interval(secs => $2));
