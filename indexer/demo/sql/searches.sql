-- What Immich asks when a person searches.

-- Sorting by the id too keeps the HNSW index out of it: an exact scan. Hidden and archived photos come back.
-- name: smart_3_1
SELECT asset.id FROM asset JOIN smart_search ON asset.id = smart_search."assetId"
WHERE asset.visibility <> 'locked' AND asset."ownerId" = ANY ($1::uuid[]) AND asset."deletedAt" IS NULL
ORDER BY smart_search.embedding <=> $2::text::vector, asset.id
LIMIT $3 OFFSET $4;

-- name: smart_2_7
SELECT asset.id FROM asset JOIN smart_search ON asset.id = smart_search."assetId"
WHERE asset.visibility = 'timeline' AND asset."ownerId" = ANY ($1::uuid[]) AND asset."deletedAt" IS NULL
ORDER BY smart_search.embedding <=> $2::text::vector
LIMIT $3 OFFSET $4;

-- What 3.2 and later ask where a request has a filter, an order or a cursor: trashed and hidden photos come back too.
-- name: filtered
SELECT asset.id FROM asset JOIN smart_search ON asset.id = smart_search."assetId"
WHERE asset.visibility <> 'locked' AND asset."ownerId" = ANY ($1::uuid[])
  AND ($4::text IS NULL OR EXISTS (
      SELECT FROM ocr_search WHERE ocr_search."assetId" = asset.id AND f_unaccent(ocr_search.text) %>> f_unaccent($4)))
ORDER BY smart_search.embedding <=> $2::text::vector, asset.id
LIMIT $3;

-- name: ocr_filter
SELECT asset.id FROM asset JOIN ocr_search ON asset.id = ocr_search."assetId"
WHERE asset.visibility = 'timeline' AND asset."ownerId" = ANY ($1::uuid[]) AND asset."deletedAt" IS NULL
  AND f_unaccent(ocr_search.text) %>> f_unaccent($2)
ORDER BY asset."fileCreatedAt" DESC
LIMIT $3;

-- name: key
SELECT k.id, k.name, k.permissions, k."createdAt", k."updatedAt", u.id AS user_id
FROM api_key k JOIN "user" u ON u.id = k."userId" AND u."deletedAt" IS NULL WHERE k.key = $1;

-- name: session
SELECT s.id, u.id AS user_id
FROM session s JOIN "user" u ON u.id = s."userId" AND u."deletedAt" IS NULL
WHERE s.token = $1 AND (s."expiresAt" IS NULL OR s."expiresAt" > now());

-- name: user
SELECT id, email, name, "isAdmin", status, "storageLabel", "quotaSizeInBytes", "quotaUsageInBytes", "createdAt", "updatedAt"
FROM "user" WHERE id = $1;

-- What a person who is no administrator may open without a PIN: their own assets, also trashed ones; of partners, in whose
-- timeline or not, those that are neither archived nor locked nor in the trash.
-- name: thumbnail
SELECT f.path FROM asset a LEFT JOIN asset_file f ON f."assetId" = a.id AND f.type = $3
WHERE a.id = $1
  AND (a."ownerId" = $2 AND a.visibility <> 'locked'
       OR a."deletedAt" IS NULL AND a.visibility IN ('timeline', 'hidden') AND a."ownerId" IN (
           SELECT p."sharedById" FROM partner p JOIN "user" u ON u.id = p."sharedById" AND u."deletedAt" IS NULL
           WHERE p."sharedWithId" = $2))
ORDER BY CASE WHEN $4::boolean THEN NOT f."isEdited" ELSE f."isEdited" END LIMIT 1;

-- A person's face, of the person's own user alone.
-- name: face
SELECT "thumbnailPath" AS path FROM person WHERE id = $1 AND "ownerId" = $2;

-- name: face_3_2
SELECT "thumbnailPath" AS path FROM person WHERE "personGroupId" = $1 AND "ownerId" = $2;

-- name: grouped
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.person'::regclass AND attname = 'personGroupId');
