-- Asked by indexer/photos/facts.py.

-- name: begin
-- Our own rows are locked at most for as long as others write them. While a transaction changes the current model, nobody writes vectors
-- of the old one: it is waited for before any row is locked.
SELECT set_config('lock_timeout', '5s', true), pg_advisory_xact_lock_shared(lock(turn));

-- name: take
-- Takes the $1 most urgent changes, with the number of all that follow. Who else takes at the same time gets others.
DELETE FROM immich_indexer_2.change
WHERE ctid = ANY (ARRAY(SELECT ctid FROM immich_indexer_2.change ORDER BY priority LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING kind, id, priority;

-- name: spread
-- A person, tag or album changed: so did each of its photos. Many of them wait behind new uploads.
INSERT INTO immich_indexer_2.change (kind, id, priority)
SELECT 'photo', photo, CASE WHEN count(*) OVER () > 20 THEN priority(bulk) ELSE priority(upload) END
FROM (
    SELECT DISTINCT photo FROM unnest($1::text[], $2::uuid[]) AS changed (kind, id), immich_indexer_2.photos_of(changed.kind, changed.id)
        AS photo
) AS photos;

-- name: known
SELECT asset_id, facts_hash, facts_version FROM immich_indexer.photo WHERE asset_id = ANY ($1::uuid[]);

-- name: facts
SELECT asset_id, facts, md5(facts::text)::uuid AS hash FROM immich_indexer_2.facts($1::uuid[]);

-- name: hold_column
-- Immich can now neither change the width of its column nor have it half changed, until we are done. Immich has precedence.
SELECT set_config('lock_timeout', '800ms', true);
LOCK TABLE public.smart_search IN ROW EXCLUSIVE MODE

-- name: width
-- The width of Immich's vector column. None while Immich is changing it.
SELECT atttypmod FROM pg_attribute
WHERE attrelid = to_regclass('public.smart_search') AND attname = 'embedding' AND NOT attisdropped AND atttypmod > 0
  AND NOT changing(width);

-- name: stale
-- Of the $2 photos after $1: those whose facts were made by another version than $3 or never, and, if $4, those that have other facts now.
WITH page AS (
    SELECT a.id, eligible(a) AS eligible FROM public.asset a WHERE a.id > $1 ORDER BY a.id LIMIT $2
)
SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last, ARRAY(
    SELECT page.id FROM page
    LEFT JOIN immich_indexer.photo p ON p.asset_id = page.id
    LEFT JOIN immich_indexer_2.facts(CASE WHEN $4 THEN ARRAY(SELECT id FROM page) ELSE '{}' END) AS f ON f.asset_id = page.id
    WHERE page.eligible AND (p.facts_version IS DISTINCT FROM $3 OR $4 AND md5(f.facts::text)::uuid IS DISTINCT FROM p.facts_hash)
    ORDER BY page.id
) AS assets;
