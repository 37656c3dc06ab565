-- Asked by indexer/photos/results.py. Our own table is written first. Then Immich's columns are made to follow it. What is right already
-- is not written again: no dead rows, no index work, no change that Immich's apps would have to sync.

-- name: begin
-- Immich has precedence: where it holds a lock, we try again. The second setting tells our own triggers that we are the writer.
SELECT set_config('lock_timeout', '800ms', true), set_config('immich_indexer.writing', 'on', true);

-- name: eligible
SELECT id FROM public.asset
WHERE id = ANY ($1::uuid[])
  AND eligible(asset);

-- name: forget
-- Photos that were deleted, or that were not read and are no longer eligible. What was read stays, in case they come back.
DELETE FROM immich_indexer.photo p WHERE p.asset_id = ANY ($1::uuid[])
    AND NOT EXISTS (SELECT FROM public.asset a WHERE a.id = p.asset_id AND (p.digest IS NOT NULL OR eligible(a)));

-- name: store
-- A part that was not read again stays. But if the picture changed, it is no result of this picture, so its model's name is deleted.
INSERT INTO immich_indexer.photo AS p (asset_id, preview_updated_at, digest, clip_model, clip, ocr_model, lines)
SELECT asset_id, preview_updated_at, digest, clip_model, clip::halfvec, ocr_model, lines
FROM unnest($1::uuid[], $2::timestamptz[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
    AS new (asset_id, preview_updated_at, digest, clip_model, clip, ocr_model, lines)
ORDER BY asset_id
ON CONFLICT (asset_id) DO UPDATE SET
    preview_updated_at = excluded.preview_updated_at,
    digest = excluded.digest,
    clip_model = coalesce(excluded.clip_model, CASE WHEN p.digest = excluded.digest THEN p.clip_model END),
    clip = coalesce(excluded.clip, p.clip),
    ocr_model = coalesce(excluded.ocr_model, CASE WHEN p.digest = excluded.digest THEN p.ocr_model END),
    lines = coalesce(excluded.lines, p.lines),
    indexed_at = now();

-- name: stored
SELECT p.asset_id, p.lines, p.tokens_version, a."ownerId" AS owner,
       a."fileCreatedAt" AS taken_at, p.taken_at IS DISTINCT FROM a."fileCreatedAt" AS moved
FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
WHERE p.asset_id = ANY ($1::uuid[]) AND p.digest IS NOT NULL ORDER BY p.asset_id FOR UPDATE OF p;

-- name: all_lines
-- Immich's lines of the photos $1, in the format of our table, and our table's own.
SELECT a AS asset_id,
       (SELECT jsonb_agg(jsonb_build_object('text', text, 'box', jsonb_build_array(x1, y1, x2, y2, x3, y3, x4, y4),
                'boxScore', "boxScore", 'textScore', "textScore", 'visible', "isVisible") ORDER BY y1, x1)
            FROM public.asset_ocr o WHERE o."assetId" = a) AS theirs,
       (SELECT lines FROM immich_indexer.photo p WHERE p.asset_id = a) AS stored
FROM unnest($1::uuid[]) AS a;

-- name: set_text
-- The facts in the document stay (indexer/text/fields.py). Casts, because concatenating two tsvectors changes positions.
UPDATE immich_indexer.photo p SET
    lines = new.lines, text = new.text, overflow = new.overflow, text_size = length(new.document),
    document = (new.document::text || ' ' || ts_delete(p.document, ARRAY(
        SELECT lexeme FROM unnest(tsvector_to_array(p.document)) AS lexeme WHERE lexeme !~ '^ [-+=:]'))::text)::tsvector,
    taken_at = new.taken_at, tokens_version = $8
FROM (
    SELECT given.*, immich_indexer.document(normal, ngrams) AS document
    FROM unnest($1::uuid[], $2::jsonb[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
        AS given (asset_id, lines, text, normal, ngrams, overflow, taken_at)
) AS new
WHERE p.asset_id = new.asset_id;

-- name: vectors
SELECT asset_id, halfvec_send(clip) AS clip, text FROM immich_indexer.photo
WHERE asset_id = ANY ($1::uuid[]) AND clip IS NOT NULL ORDER BY asset_id;

-- name: apply_vectors
-- Makes Immich's column follow our copy. The vectors are in the order of their ids, so that all writers lock in the same order.
INSERT INTO public.smart_search AS s ("assetId", embedding)
SELECT asset_id, embedding::vector FROM unnest($1::uuid[], $2::text[]) AS new (asset_id, embedding)
ON CONFLICT ("assetId") DO UPDATE SET embedding = excluded.embedding WHERE s.embedding <> excluded.embedding;

-- name: remember_vectors
-- The hash of what we wrote into Immich's column, to recognise another writer's vector.
UPDATE immich_indexer.photo p SET vector_hash = new.hash, vector_version = $3
FROM unnest($1::uuid[], $2::uuid[]) AS new (asset_id, hash)
WHERE p.asset_id = new.asset_id AND (p.vector_hash IS DISTINCT FROM new.hash OR p.vector_version <> $3);

-- name: apply_lines
-- Makes Immich's lines follow ours where they differ in any way: missing, doubled, another writer's, wrongly hidden or shown.
WITH ours AS (
    SELECT p.asset_id, line.text, (box->>0)::real AS x1, (box->>1)::real AS y1, (box->>2)::real AS x2, (box->>3)::real AS y2,
           (box->>4)::real AS x3, (box->>5)::real AS y3, (box->>6)::real AS x4, (box->>7)::real AS y4,
           "boxScore" AS box_score, "textScore" AS text_score, visible
    FROM immich_indexer.photo p, jsonb_to_recordset(p.lines)
        AS line (text text, box jsonb, "boxScore" real, "textScore" real, visible boolean)
    WHERE p.asset_id = ANY ($1::uuid[])
), our_hashes AS (
    SELECT asset_id, md5(string_agg(concat_ws('|', text, x1, y1, x2, y2, x3, y3, x4, y4, box_score, text_score, visible),
        '' ORDER BY text COLLATE "C", x1, y1, x2, y2, x3, y3, x4, y4, box_score, text_score)) AS hash
    FROM ours GROUP BY asset_id
), their_hashes AS (
    SELECT "assetId" AS asset_id, md5(string_agg(
        concat_ws('|', text, x1, y1, x2, y2, x3, y3, x4, y4, "boxScore", "textScore", "isVisible"),
        '' ORDER BY text COLLATE "C", x1, y1, x2, y2, x3, y3, x4, y4, "boxScore", "textScore")) AS hash
    FROM public.asset_ocr WHERE "assetId" = ANY ($1::uuid[]) GROUP BY "assetId"
), different AS (
    SELECT p.asset_id FROM immich_indexer.photo p
    LEFT JOIN our_hashes o USING (asset_id) LEFT JOIN their_hashes t USING (asset_id)
    WHERE p.asset_id = ANY ($1::uuid[]) AND p.lines IS NOT NULL AND o.hash IS DISTINCT FROM t.hash
), deleted AS (
    DELETE FROM public.asset_ocr WHERE "assetId" IN (SELECT asset_id FROM different)
)
INSERT INTO public.asset_ocr ("assetId", text, x1, y1, x2, y2, x3, y3, x4, y4, "boxScore", "textScore", "isVisible")
SELECT asset_id, text, x1, y1, x2, y2, x3, y3, x4, y4, box_score, text_score, visible
FROM ours WHERE asset_id IN (SELECT asset_id FROM different) ORDER BY asset_id;

-- name: apply_search_text
INSERT INTO public.ocr_search AS s ("assetId", text)
SELECT * FROM unnest($1::uuid[], $2::text[]) AS new ORDER BY 1
ON CONFLICT ("assetId") DO UPDATE SET text = excluded.text WHERE s.text <> excluded.text;

-- name: drop_search_text
DELETE FROM public.ocr_search WHERE "assetId" = ANY ($1::uuid[]);

-- name: mark_read
-- So that Immich's own "missing" job skips these.
INSERT INTO public.asset_job_status AS s ("assetId", "ocrAt") SELECT a, now() FROM unnest($1::uuid[]) AS a ORDER BY 1
ON CONFLICT ("assetId") DO UPDATE SET "ocrAt" = excluded."ocrAt" WHERE s."ocrAt" IS NULL OR $2;

-- name: foreign_lines
-- Photos of $1 that another program read and whose searchable text was emptied: their visible lines, in reading order.
SELECT s."assetId" AS asset_id, array_agg(o.text ORDER BY o.y1, o.x1) AS lines
FROM public.ocr_search s JOIN public.asset_ocr o ON o."assetId" = s."assetId" AND o."isVisible"
WHERE s."assetId" = ANY ($1::uuid[]) AND s.text = ''
GROUP BY s."assetId";
