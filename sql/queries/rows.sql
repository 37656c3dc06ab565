-- Asked by indexer/photos/rows.py: all that writes immich_indexer.photo. What is right already is not written again: no dead rows, no
-- index work, no change that Immich's apps would have to sync.

-- name: lock
-- Locks our rows of the photos $1, one after the other in the order of their ids. Eligible photos without a row get one. It has no digest
-- until the photo is read. The condition at the end is for locking without writing.
INSERT INTO immich_indexer.photo (asset_id, indexed_at)
SELECT DISTINCT wanted.id, NULL::timestamptz FROM unnest($1::uuid[]) AS wanted (id)
WHERE EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = wanted.id)
    OR EXISTS (SELECT FROM public.asset a WHERE a.id = wanted.id AND eligible(a))
ORDER BY wanted.id
ON CONFLICT (asset_id) DO UPDATE SET asset_id = excluded.asset_id WHERE false;

-- name: stored
-- `current`: the vector by the current model, and `mark`, its hash; `own`: it is in this row, or would be. `public_facts`: what else goes
-- into Immich's vector column. `several`: there may be vectors beside photos, or models whose vectors have to be kept.
SELECT eligible(a) AS eligible,
       EXISTS (SELECT FROM immich_indexer_3.vector) OR EXISTS (SELECT FROM immich_indexer_3.model WHERE state <> 'current') AS several,
       model(current) AS current_model, halfvec_send(vector_of(p)) AS current, mark_of(p) AS mark,
       coalesce(p.clip_model = model(current), vector_of(p) IS NULL OR p.clip IS NOT NULL) AS own, public_facts(a) AS public_facts,
       p.asset_id, a."ownerId" AS owner, a."fileCreatedAt" AS taken_at, p.digest, p.clip_model, halfvec_send(p.clip) AS clip, p.ocr_model,
       p.lines, p.text, p.taken_at AS document_taken_at, p.tokens_version, p.vector_hash, p.vector_version
FROM immich_indexer.photo p JOIN public.asset a ON a.id = p.asset_id
WHERE p.asset_id = ANY ($1::uuid[]) ORDER BY p.asset_id;

-- name: their_lines
-- Immich's lines of the photos $1, in the format of our table.
SELECT "assetId" AS asset_id,
       jsonb_agg(jsonb_build_object('text', text, 'box', jsonb_build_array(x1, y1, x2, y2, x3, y3, x4, y4),
           'boxScore', "boxScore", 'textScore', "textScore", 'visible', "isVisible") ORDER BY y1, x1) AS lines
FROM public.asset_ocr WHERE "assetId" = ANY ($1::uuid[]) GROUP BY "assetId";

-- name: write
-- One row of `new` for each photo (`Row`), and one of `ours` for each line (`StoredLine.columns`). Our row is written once, because
-- whatever changes in it, its whole document is indexed again.
WITH new AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::boolean[], $3::timestamptz[], $4::bytea[], $5::text[], $6::text[], $7::text[],
        $8::jsonb[], $9::text[], $10::text[], $11::text[], $12::text[], $13::smallint[],
        $14::text[], $15::jsonb[], $16::uuid[], $17::smallint[], $18::timestamptz[],
        $19::uuid[], $20::smallint[], $21::text[], $22::text[], $23::boolean[]
    ) AS new (
        asset_id, opened, preview_updated_at, digest, clip_model, clip, ocr_model,
        lines, text, normal, ngrams, overflow, tokens_version,
        facts, long_facts, facts_hash, facts_version, taken_at,
        vector_hash, vector_version, embedding, search_text, fresh
    )
), ours AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $24::uuid[], $25::text[], $26::boolean[], $27::text::real[], $28::text::real[], $29::text::real[], $30::text::real[],
        $31::text::real[], $32::text::real[], $33::text::real[], $34::text::real[], $35::text::real[], $36::text::real[]
    ) AS ours (asset_id, text, visible, x1, y1, x2, y2, x3, y3, x4, y4, box_score, text_score)
), kept AS (
    -- A document has lexemes of the text, those of the facts (indexer/text/fields.py), and the marks of owner and date (buckets.py). A
    -- new text leaves the facts, new facts leave the text. Both bring new marks.
    SELECT new.*, length(old.document) AS size, ts_delete(old.document, ARRAY(
        SELECT lexeme FROM unnest(tsvector_to_array(old.document)) AS lexeme
        WHERE CASE WHEN facts IS NULL THEN lexeme !~ '^ [-+=:]' ELSE lexeme LIKE ' %' AND length(lexeme) > 2 END)) AS rest
    FROM new JOIN immich_indexer.photo old USING (asset_id) WHERE ngrams IS NOT NULL OR facts IS NOT NULL
), documents AS MATERIALIZED (
    -- Casts, because concatenating two tsvectors changes positions.
    SELECT asset_id, size, length(rest) AS rest_size,
        CASE WHEN facts IS NULL THEN immich_indexer.document(normal, concat_ws(' ', ngrams, rest::text))
             ELSE concat_ws(' ', rest::text, facts)::tsvector END AS document
    FROM kept
), photo AS (
    UPDATE immich_indexer.photo p SET
        preview_updated_at = CASE WHEN opened THEN coalesce(new.preview_updated_at, p.preview_updated_at) ELSE p.preview_updated_at END,
        digest = CASE WHEN opened THEN new.digest ELSE p.digest END,
        clip_model = CASE WHEN opened THEN new.clip_model ELSE p.clip_model END,
        clip = coalesce(new.clip::halfvec, CASE  -- one of another picture and another model than the current one is of no use
            WHEN NOT opened OR p.digest = new.digest OR coalesce(p.clip_model = model(current), true) THEN p.clip END),
        ocr_model = CASE WHEN opened THEN new.ocr_model ELSE p.ocr_model END,
        indexed_at = CASE WHEN opened THEN now() ELSE p.indexed_at END,
        lines = coalesce(new.lines, p.lines),
        text = coalesce(new.text, p.text),
        document = coalesce(d.document, p.document),
        text_size = CASE WHEN ngrams IS NOT NULL THEN length(d.document) - d.rest_size ELSE coalesce(p.text_size, d.size) END,
        overflow = CASE WHEN ngrams IS NOT NULL THEN new.overflow ELSE p.overflow END,
        tokens_version = coalesce(new.tokens_version, p.tokens_version),
        long_facts = CASE WHEN facts IS NOT NULL THEN new.long_facts ELSE p.long_facts END,
        facts_hash = coalesce(new.facts_hash, p.facts_hash),
        facts_version = coalesce(new.facts_version, p.facts_version),
        taken_at = coalesce(new.taken_at, p.taken_at),
        vector_hash = coalesce(new.vector_hash, p.vector_hash),
        vector_version = coalesce(new.vector_version, p.vector_version)
    FROM new LEFT JOIN documents d USING (asset_id)
    WHERE p.asset_id = new.asset_id AND (opened OR d.document IS NOT NULL OR new.vector_version IS NOT NULL)
), their_hashes AS (
    SELECT "assetId" AS asset_id, md5(string_agg(
        concat_ws('|', text, x1, y1, x2, y2, x3, y3, x4, y4, "boxScore", "textScore", "isVisible"),
        '' ORDER BY text COLLATE "C", x1, y1, x2, y2, x3, y3, x4, y4, "boxScore", "textScore")) AS hash
    FROM public.asset_ocr WHERE "assetId" IN (SELECT asset_id FROM new WHERE search_text IS NOT NULL) GROUP BY "assetId"
), our_hashes AS (
    SELECT asset_id, md5(string_agg(concat_ws('|', text, x1, y1, x2, y2, x3, y3, x4, y4, box_score, text_score, visible),
        '' ORDER BY text COLLATE "C", x1, y1, x2, y2, x3, y3, x4, y4, box_score, text_score)) AS hash
    FROM ours WHERE asset_id IN (SELECT asset_id FROM their_hashes) GROUP BY asset_id
), different AS (
    -- Lines that are missing, doubled, another writer's, wrongly hidden or shown.
    SELECT asset_id FROM new LEFT JOIN their_hashes t USING (asset_id) LEFT JOIN our_hashes o USING (asset_id)
    WHERE search_text IS NOT NULL AND (t.hash IS NULL OR t.hash IS DISTINCT FROM o.hash)
), deleted_lines AS (
    DELETE FROM public.asset_ocr WHERE "assetId" = ANY (ARRAY(SELECT asset_id FROM different JOIN their_hashes USING (asset_id)))
), lines AS (
    INSERT INTO public.asset_ocr ("assetId", text, "isVisible", x1, y1, x2, y2, x3, y3, x4, y4, "boxScore", "textScore")
    SELECT * FROM ours WHERE asset_id IN (SELECT asset_id FROM different) ORDER BY asset_id
), search_texts AS (
    INSERT INTO public.ocr_search AS s ("assetId", text)
    SELECT asset_id, search_text FROM new WHERE search_text <> '' ORDER BY asset_id
    ON CONFLICT ("assetId") DO UPDATE SET text = excluded.text WHERE s.text <> excluded.text
), no_search_texts AS (
    DELETE FROM public.ocr_search WHERE "assetId" = ANY (ARRAY(SELECT asset_id FROM new WHERE search_text = ''))
), marked AS (
    -- So that Immich's own "missing" job skips these.
    INSERT INTO public.asset_job_status AS s ("assetId", "ocrAt")
    SELECT asset_id, now() FROM new WHERE search_text IS NOT NULL ORDER BY asset_id
    ON CONFLICT ("assetId") DO UPDATE SET "ocrAt" = excluded."ocrAt"
    WHERE s."ocrAt" IS NULL OR s."assetId" IN (SELECT asset_id FROM new WHERE fresh)
)
INSERT INTO public.smart_search AS s ("assetId", embedding)
SELECT asset_id, embedding::vector FROM new WHERE embedding IS NOT NULL ORDER BY asset_id
ON CONFLICT ("assetId") DO UPDATE SET embedding = excluded.embedding WHERE s.embedding <> excluded.embedding;
