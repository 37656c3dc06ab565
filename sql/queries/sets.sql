-- Asked by indexer/photos/sets.py: of which models there are vectors, and which is the current one.

-- name: models
SELECT name, setting, dimensions, state, held, since FROM immich_indexer_3.model
ORDER BY array_position('{current,next,previous,idle}'::text[], state), since DESC;

-- name: lock
-- One change of this table at a time. Who reads it does not wait.
LOCK TABLE immich_indexer_3.model IN SHARE ROW EXCLUSIVE MODE;

-- name: made
-- The model that made most of the vectors from before this table.
SELECT clip_model FROM immich_indexer.photo WHERE clip IS NOT NULL AND clip_model IS NOT NULL
GROUP BY clip_model ORDER BY count(*) DESC LIMIT 1;

-- name: column_is_empty
SELECT NOT EXISTS (SELECT FROM public.smart_search);

-- name: has_vectors
-- Whether anything can be searched with the current model $1.
SELECT EXISTS (SELECT FROM public.smart_search)
    OR EXISTS (SELECT FROM immich_indexer.photo WHERE clip_model = $1 AND clip IS NOT NULL)
    OR EXISTS (SELECT FROM immich_indexer_3.vector WHERE model = $1);

-- name: tell
-- Worker $1 reads with model $2.
UPDATE immich_indexer.worker SET clip_model = $2 WHERE id = $1 AND clip_model IS DISTINCT FROM $2;

-- name: is_read
-- Whether an indexer that was seen in the last $2 seconds reads with model $1.
SELECT EXISTS (SELECT FROM immich_indexer.worker WHERE clip_model = $1 AND seen_at > clock_timestamp() - make_interval(secs => $2));

-- name: put
-- Model $1, named by the setting $2, with $3 dimensions (null: not known), is in state $4 from now on.
INSERT INTO immich_indexer_3.model AS m (name, setting, dimensions, state) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET
    setting = coalesce(excluded.setting, m.setting), dimensions = coalesce(excluded.dimensions, m.dimensions),
    state = excluded.state, held = false, since = CASE WHEN m.state = excluded.state THEN m.since ELSE now() END;

-- name: rest
-- Model $1 is not read any more, and its vectors are kept. A person decided that, if $2.
UPDATE immich_indexer_3.model SET state = 'idle', held = $2, since = now() WHERE name = $1;

-- name: forget_next
-- Jobs go on without the task of a model that is not read any more.
WITH less AS (
    UPDATE immich_indexer.job SET tasks = array_remove(array_remove(tasks, 'next'), 'next!') WHERE tasks && '{next,next!}'
    RETURNING asset_id, tasks, running
)
DELETE FROM immich_indexer.inbox WHERE tasks <@ '{next,next!}';

-- name: forget_empty
DELETE FROM immich_indexer.job WHERE worker IS NULL AND tasks = '{}';

-- name: name_immichs
-- Immich's own model has the name $1 there.
UPDATE immich_indexer_3.model SET setting = $1 WHERE name = 'immich' AND setting IS DISTINCT FROM $1;

-- name: keep
-- Before vectors of model $2 are written for the photos $1: theirs of another model, of which there is a set, goes beside the photo.
INSERT INTO immich_indexer_3.vector (model, asset_id, digest, embedding, hash)
SELECT p.clip_model, p.asset_id, p.digest, p.clip, p.vector_hash
FROM immich_indexer.photo p JOIN immich_indexer_3.model m ON m.name = p.clip_model
WHERE p.asset_id = ANY ($1::uuid[]) AND p.clip_model <> $2 AND p.clip IS NOT NULL
ON CONFLICT (model, asset_id) DO UPDATE SET digest = excluded.digest, embedding = excluded.embedding, hash = excluded.hash;

-- name: replace
-- The vectors of model $2 that were beside the photos $1 are in the photos now.
DELETE FROM immich_indexer_3.vector v USING immich_indexer.photo p
WHERE v.model = $2 AND v.asset_id = ANY ($1::uuid[]) AND p.asset_id = v.asset_id AND p.clip_model = v.model;

-- name: store
-- Vectors of models of which the photo's row may not have one: photos $1, models $2, digests $3, vectors $4.
INSERT INTO immich_indexer_3.vector AS v (model, asset_id, digest, embedding)
SELECT model, asset_id, digest, embedding::halfvec FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[])
    AS new (asset_id, model, digest, embedding)
WHERE EXISTS (SELECT FROM immich_indexer_3.model m WHERE m.name = new.model)
ORDER BY asset_id
ON CONFLICT (model, asset_id) DO UPDATE SET digest = excluded.digest, embedding = excluded.embedding, hash = NULL;

-- name: progress
-- Of the eligible photos: how many there are, how many have a vector of model $1, and of the others how many were given up.
SELECT count(*) AS photos, count(*) FILTER (WHERE made) AS made, count(*) FILTER (WHERE NOT made AND dead) AS given_up,
       count(*) FILTER (WHERE NOT made AND NOT dead) AS missing
FROM (
    SELECT coalesce(p.clip_model = $1, false) AND p.clip IS NOT NULL
               OR EXISTS (SELECT FROM immich_indexer_3.vector v WHERE v.model = $1 AND v.asset_id = a.id
                          AND v.digest IS NOT DISTINCT FROM coalesce(p.digest, v.digest)) AS made,
           EXISTS (SELECT FROM immich_indexer.job j
                   WHERE j.asset_id = a.id AND j.dead AND j.tasks && '{clip,clip!,next,next!}') AS dead
    FROM public.asset a
    JOIN public.asset_file f ON f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited"
    LEFT JOIN immich_indexer.photo p ON p.asset_id = a.id
    WHERE eligible(a)
) AS each;

-- name: waiting
-- Whether a photo still waits for its vector of the next model.
SELECT EXISTS (SELECT FROM immich_indexer.job WHERE NOT dead AND (tasks || running) && '{next,next!}')
    OR EXISTS (SELECT FROM immich_indexer.inbox);

-- name: old
-- Models that are neither current nor next, and were last so more than $1 days ago.
SELECT name FROM immich_indexer_3.model WHERE state IN ('previous', 'idle') AND since < now() - make_interval(days => $1);

-- name: drop
-- Forgets model $1, unless it is in use.
DELETE FROM immich_indexer_3.model WHERE name = $1 AND state IN ('previous', 'idle');

-- name: drop_vectors
-- Up to $1 vectors of models that were forgotten. One transaction for all of them would be long.
WITH gone AS (
    DELETE FROM immich_indexer_3.vector WHERE ctid = ANY (ARRAY(
        SELECT v.ctid FROM immich_indexer_3.vector v
        WHERE NOT EXISTS (SELECT FROM immich_indexer_3.model m WHERE m.name = v.model)
           OR NOT EXISTS (SELECT FROM public.asset a WHERE a.id = v.asset_id) LIMIT $1))
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: settle
-- Up to $1 vectors of the current model take the place of those of a forgotten model in the photos' own rows.
WITH page AS (
    SELECT p.asset_id, v.model, v.embedding, v.hash
    FROM immich_indexer.photo p JOIN immich_indexer_3.vector v ON v.asset_id = p.asset_id
    WHERE v.model = model(current) AND v.digest IS NOT DISTINCT FROM p.digest AND p.clip_model <> v.model
      AND NOT EXISTS (SELECT FROM immich_indexer_3.model m WHERE m.name = p.clip_model)
    LIMIT $1 FOR UPDATE OF p SKIP LOCKED
), moved AS (
    UPDATE immich_indexer.photo p SET clip = page.embedding, clip_model = page.model, vector_hash = page.hash
    FROM page WHERE p.asset_id = page.asset_id
), gone AS (
    DELETE FROM immich_indexer_3.vector v USING page WHERE v.asset_id = page.asset_id AND v.model = page.model
)
SELECT count(*) FROM page;

-- name: mark
-- The hashes of what is in Immich's column of the photos $1, for vectors that are beside them.
UPDATE immich_indexer_3.vector v SET hash = md5(vector_send(s.embedding))::uuid FROM public.smart_search s
WHERE v.asset_id = ANY ($1::uuid[]) AND v.model = model(current) AND s."assetId" = v.asset_id
  AND v.hash IS DISTINCT FROM md5(vector_send(s.embedding))::uuid;
