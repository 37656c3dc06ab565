-- The terms of our SQL, each defined only here. Statements, functions and other terms contain eligible(x), priority(name) and so on. When
-- a file is read, the text below replaces them (indexer/database/statements.py).

-- term: present(asset)
-- Whether Immich has an asset: it is not in the trash, and is not being deleted.
asset."deletedAt" IS NULL AND asset.status = 'active'

-- term: listed(asset)
-- Whether an asset's owner is shown it without unlocking the locked folder.
present(asset) AND asset.visibility IN ('timeline', 'archive')

-- term: eligible(asset)
-- Whether we index an asset: Immich shows it somewhere, and its files exist.
present(asset) AND asset.visibility <> 'hidden' AND NOT asset."isOffline"

-- term: public_facts(asset)
-- What is known of an asset besides its picture, of all that goes into Immich's vector column: an array of texts. The first is its
-- description, empty where it has none. Partners' searches read that column, so people, tags and albums, which are the owner's alone,
-- must never be here.
SELECT array_remove(ARRAY[coalesce(x.description, ''), asset."originalFileName"::text, x.city, x.state, x.country], NULL)
FROM (SELECT) AS one LEFT JOIN public.asset_exif x ON x."assetId" = asset.id

-- term: priority(request)
-- A person asks for a few photos, and waits for them.
0

-- term: priority(upload)
-- Immich has a new photo, or a new preview of one.
10

-- term: priority(bulk)
-- A person asks for many photos. They go behind new uploads.
15

-- term: urgency(edit)
-- The priority of a photo of which something else is known now. The first 20 of a transaction go with new uploads, and the others behind
-- them. It counts, so it is evaluated once for each photo.
CASE WHEN set_config('immich_indexer.noted',
         (coalesce(nullif(current_setting('immich_indexer.noted', true), ''), '0')::integer + 1)::text, true)::integer > 20
     THEN priority(bulk) ELSE priority(upload) END

-- term: priority(backfill)
-- A photo without results, or with those of another model.
20

-- term: model(current)
-- The name of the model whose vectors are in Immich's column. Null before the first indexer has started.
SELECT name FROM immich_indexer_3.model WHERE state = 'current'

-- term: vector_of(photo)
-- The photo's vector by the current model. It is in the photo's own row, or beside it where that has none, or one of another model.
CASE WHEN photo.clip IS NOT NULL AND coalesce(photo.clip_model = model(current), true) THEN photo.clip
ELSE (SELECT v.embedding FROM immich_indexer_3.vector v WHERE v.asset_id = photo.asset_id AND v.model = model(current)) END

-- term: mark_of(photo)
-- The hash of what we wrote of it into Immich's column.
CASE WHEN photo.clip IS NOT NULL AND coalesce(photo.clip_model = model(current), true) THEN photo.vector_hash
ELSE (SELECT v.hash FROM immich_indexer_3.vector v WHERE v.asset_id = photo.asset_id AND v.model = model(current)) END

-- term: changing(width)
-- Whether Immich is changing the width of its vectors: meanwhile their table has a CHECK constraint of this name.
EXISTS (SELECT FROM pg_constraint
        WHERE conrelid = to_regclass('public.smart_search') AND conname = 'dim_size_constraint' AND contype = 'c')

-- term: lock(turn)
-- The number of the advisory lock of a change of the current model. Who writes vectors into Immich's column shares it.
1960167

-- term: requests(tag)
-- Whether a person asks by this tag to read photos again.
lower(tag.value) IN ('reindex', 'reindex/ocr', 'reindex/clip')

-- term: missed(transaction)
-- Whether this transaction changed something that could not be noted. The reconciler finds it, so we are waited for once, not for each row.
coalesce(current_setting('immich_indexer.missed', true) = 'on', false)
