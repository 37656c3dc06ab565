-- Asked by indexer/work/turn.py, all in one transaction: Immich's column gets the vectors of another model.

-- name: begin
-- It waits for locks longer than our other statements do: whoever we wait for has a lock of one photo only for a moment.
SELECT set_config('lock_timeout', '5s', true), set_config('statement_timeout', '0', true),
       set_config('idle_in_transaction_session_timeout', '60s', true), set_config('immich_indexer.writing', 'on', true);

-- name: keep_immich_waiting
-- Immich's own lock for a change of its column (DatabaseLock.CLIPDimSize). Immich deletes all rows and then locks the table: if we had
-- written some rows meanwhile and wanted others, one of us would fail, and it could be Immich.
SELECT pg_advisory_xact_lock(512);

-- name: alone
-- Only one change of the current model at a time.
SELECT pg_try_advisory_lock(lock(turn) + 1);

-- name: stage
-- What the column will contain. Only this transaction sees it. `photo`, `beside`: which versions of our rows it was made of.
CREATE TEMPORARY TABLE staged (
    asset_id uuid PRIMARY KEY, embedding vector NOT NULL, hash uuid NOT NULL, photo text, beside text, written boolean NOT NULL DEFAULT false
) ON COMMIT DROP;

-- name: unstaged
-- Up to $3 photos after $2 with a vector of model $1 that is not staged, or that changed since: photos that Immich shows, and others that
-- have a row in the column. What this transaction has changed itself (`mark`) is no change.
SELECT f.asset_id, halfvec_send(f.embedding) AS vector, f.text, public_facts(a) AS public_facts, f.photo, f.beside FROM (
    SELECT p.asset_id, p.text, CASE WHEN p.clip_model = $1 AND p.clip IS NOT NULL THEN p.clip ELSE v.embedding END AS embedding,
           CASE WHEN p.xmin = pg_current_xact_id()::xid THEN g.photo ELSE p.xmin::text END AS photo,
           CASE WHEN v.xmin = pg_current_xact_id()::xid THEN g.beside ELSE v.xmin::text END AS beside,
           g.photo AS staged_photo, g.beside AS staged_beside
    FROM immich_indexer.photo p
    LEFT JOIN immich_indexer_3.vector v ON v.model = $1 AND v.asset_id = p.asset_id
    LEFT JOIN staged g ON g.asset_id = p.asset_id
) AS f
JOIN public.asset a ON a.id = f.asset_id
WHERE f.asset_id > $2 AND f.embedding IS NOT NULL
  AND (f.photo IS DISTINCT FROM f.staged_photo OR f.beside IS DISTINCT FROM f.staged_beside)
  AND (eligible(a) OR EXISTS (SELECT FROM public.smart_search s WHERE s."assetId" = a.id))
ORDER BY f.asset_id LIMIT $3;

-- name: stage_rows
INSERT INTO staged (asset_id, embedding, hash, photo, beside)
SELECT asset_id, embedding::vector, hash, photo, beside FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[])
    AS new (asset_id, embedding, hash, photo, beside)
ON CONFLICT (asset_id) DO UPDATE SET
    embedding = excluded.embedding, hash = excluded.hash, photo = excluded.photo, beside = excluded.beside, written = false;

-- name: stage_immichs
-- The vectors that Immich's own model made, as we kept them.
INSERT INTO staged (asset_id, embedding, hash)
SELECT v.asset_id, v.embedding::vector, md5(vector_send(v.embedding::vector))::uuid
FROM immich_indexer_3.vector v JOIN public.asset a ON a.id = v.asset_id
WHERE v.model = 'immich' AND eligible(a)
ON CONFLICT (asset_id) DO NOTHING;

-- name: keep_immichs
-- What Immich's own model made. Rows of ours, which this transaction has written, are no such vectors.
INSERT INTO immich_indexer_3.vector (model, asset_id, embedding)
SELECT 'immich', s."assetId", s.embedding::halfvec FROM public.smart_search s WHERE s.xmin <> pg_current_xact_id()::xid
ON CONFLICT (model, asset_id) DO UPDATE SET embedding = excluded.embedding;

-- name: analyze
ANALYZE staged;

-- name: update
-- The rows that are in the column. Again for those that another transaction has written since.
WITH written AS (
    UPDATE public.smart_search s SET embedding = g.embedding FROM staged g
    WHERE s."assetId" = g.asset_id AND (NOT g.written OR s.xmin <> pg_current_xact_id()::xid)
    RETURNING s."assetId"
)
UPDATE staged g SET written = true FROM written w WHERE g.asset_id = w."assetId" AND NOT g.written;

-- name: insert
-- The rows that are not.
WITH written AS (
    INSERT INTO public.smart_search AS s ("assetId", embedding)
    SELECT g.asset_id, g.embedding FROM staged g JOIN public.asset a ON a.id = g.asset_id
    WHERE eligible(a) AND NOT EXISTS (SELECT FROM public.smart_search there WHERE there."assetId" = g.asset_id)
    ORDER BY g.asset_id
    ON CONFLICT ("assetId") DO UPDATE SET embedding = excluded.embedding
    RETURNING s."assetId"
)
UPDATE staged g SET written = true FROM written w WHERE g.asset_id = w."assetId";

-- name: delete
-- Vectors of the old model must not be compared with questions of the new one.
DELETE FROM public.smart_search s WHERE NOT EXISTS (SELECT FROM staged g WHERE g.asset_id = s."assetId");

-- name: mark
-- The hashes of what is in the column now. A row that somebody else has changed since is staged again first.
WITH beside AS (
    UPDATE immich_indexer_3.vector v SET hash = g.hash FROM staged g
    WHERE v.model = $1 AND v.asset_id = g.asset_id AND v.hash IS DISTINCT FROM g.hash
      AND (v.xmin::text = g.beside OR v.xmin = pg_current_xact_id()::xid)
)
UPDATE immich_indexer.photo p SET vector_hash = g.hash FROM staged g
WHERE p.asset_id = g.asset_id AND p.clip_model = $1 AND p.clip IS NOT NULL AND p.vector_hash IS DISTINCT FROM g.hash
  AND (p.xmin::text = g.photo OR p.xmin = pg_current_xact_id()::xid);

-- name: exclude
-- From now on until the end of this transaction nobody writes a vector into the column, and the gateways wait with their answers.
SELECT pg_advisory_xact_lock(lock(turn));

-- name: uncovered
-- How many photos would be found no more: Immich shows them, they have a preview to read, a vector of the old model and none of the new
-- one, and were not given up.
SELECT count(*) FROM public.smart_search s JOIN public.asset a ON a.id = s."assetId"
JOIN public.asset_file f ON f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited"
WHERE eligible(a) AND NOT EXISTS (SELECT FROM staged g WHERE g.asset_id = s."assetId")
  AND NOT EXISTS (SELECT FROM immich_indexer.job j WHERE j.asset_id = a.id AND j.dead AND j.tasks && '{clip,clip!,next,next!}');

-- name: forget_stale
-- Vectors of an earlier picture, of which it is not known which model made them.
UPDATE immich_indexer.photo SET clip = NULL WHERE clip_model IS NULL AND clip IS NOT NULL;

-- name: make_room
-- Before model $1 becomes the current one. The present one is kept to go back to. CLIP_MODEL alone does not go back to it, so that an
-- indexer whose setting nobody has changed yet does not begin the opposite change.
WITH old AS (
    UPDATE immich_indexer_3.model SET state = 'idle', since = now() WHERE state = 'previous' AND name <> $1
)
UPDATE immich_indexer_3.model SET state = 'idle' WHERE name = $1;

-- name: step_down
UPDATE immich_indexer_3.model SET state = 'previous', held = true, since = now() WHERE state = 'current';

-- name: step_up
UPDATE immich_indexer_3.model SET state = 'current', held = false, since = now() WHERE name = $1;

-- name: forget_immichs
-- They are in the column now, where Immich itself changes them.
DELETE FROM immich_indexer_3.vector WHERE model = 'immich';

-- name: rename_tasks
-- What was to be made by the next model is to be made by the current one.
UPDATE immich_indexer.job SET
    tasks = ARRAY(SELECT DISTINCT replace(task, 'next', 'clip') FROM unnest(tasks) AS task ORDER BY 1),
    running = ARRAY(SELECT DISTINCT replace(task, 'next', 'clip') FROM unnest(running) AS task ORDER BY 1)
WHERE tasks || running && '{next,next!}';

-- name: notify
SELECT pg_notify('immich_indexer', '') WHERE pg_notification_queue_usage() < 0.5;
