-- What Immich writes. Each statement is a transaction of its own unless immich.py puts several into one.

-- name: insert_user
INSERT INTO "user" (email, name, "isAdmin") VALUES ($1, $2, $3) RETURNING id;

-- name: delete_user
UPDATE "user" SET status = 'deleted', "deletedAt" = clock_timestamp() WHERE id = $1;

-- name: insert_key
INSERT INTO api_key (name, key, "userId", permissions) VALUES ('API Key', $1, $2, $3);

-- name: delete_key
DELETE FROM api_key WHERE key = $1;

-- name: insert_session
INSERT INTO session (token, "userId") VALUES ($1, $2);

-- name: delete_session
DELETE FROM session WHERE token = $1;

-- name: insert_partner
INSERT INTO partner ("sharedById", "sharedWithId") VALUES ($1, $2);

-- name: update_partner
UPDATE partner SET "inTimeline" = $3 WHERE "sharedById" = $1 AND "sharedWithId" = $2;

-- name: delete_partner
DELETE FROM partner WHERE "sharedById" = $1 AND "sharedWithId" = $2;

-- name: insert_asset
INSERT INTO asset (id, "ownerId", type, "originalPath", "originalFileName", checksum, "checksumAlgorithm",
                   "fileCreatedAt", "fileModifiedAt", "localDateTime", visibility, "livePhotoVideoId")
VALUES ($1, $2, $3, $4, $5, $6, 'sha1', $7, $7, $7, $8::text::asset_visibility_enum, $9);

-- name: insert_exif
INSERT INTO asset_exif ("assetId", "fileSizeInByte") VALUES ($1, $2)
ON CONFLICT ("assetId") DO UPDATE SET "fileSizeInByte" = excluded."fileSizeInByte";

-- name: update_exif
INSERT INTO asset_exif ("assetId", make, model, "exifImageWidth", "exifImageHeight", "dateTimeOriginal", "modifyDate")
VALUES ($1, 'Stand-in', 'Camera', $2, $3, $4, $4)
ON CONFLICT ("assetId") DO UPDATE SET
    make = excluded.make, model = excluded.model,
    "exifImageWidth" = excluded."exifImageWidth", "exifImageHeight" = excluded."exifImageHeight",
    "dateTimeOriginal" = excluded."dateTimeOriginal", "modifyDate" = excluded."modifyDate";

-- name: update_metadata
UPDATE asset SET width = $2, height = $3, "fileCreatedAt" = $4, "fileModifiedAt" = $4, "localDateTime" = $4 WHERE id = $1;

-- name: describe
INSERT INTO asset_exif ("assetId", description, "lockedProperties") VALUES ($1, $2, '{description}')
ON CONFLICT ("assetId") DO UPDATE SET description = excluded.description, "lockedProperties" = (
    SELECT array_agg(DISTINCT property) FROM unnest(asset_exif."lockedProperties" || excluded."lockedProperties") AS property);

-- name: locate
INSERT INTO asset_exif ("assetId", latitude, longitude, city, state, country) VALUES ($1, 31.2, 121.5, $2, $3, $4)
ON CONFLICT ("assetId") DO UPDATE SET
    latitude = excluded.latitude, longitude = excluded.longitude,
    city = excluded.city, state = excluded.state, country = excluded.country;

-- name: camera
UPDATE asset_exif SET make = $2, model = $3, "lensModel" = $4 WHERE "assetId" = $1;

-- name: date
UPDATE asset SET "fileCreatedAt" = $2, "localDateTime" = $2 WHERE id = $1;

-- name: refresh_exif
UPDATE asset_exif SET "modifyDate" = "modifyDate" WHERE "assetId" = $1;

-- name: refresh_asset
UPDATE asset SET "localDateTime" = "localDateTime" WHERE id = $1;

-- name: metadata_extracted
INSERT INTO asset_job_status ("assetId", "metadataExtractedAt") VALUES ($1, clock_timestamp())
ON CONFLICT ("assetId") DO UPDATE SET "metadataExtractedAt" = excluded."metadataExtractedAt";

-- name: faces_recognized
INSERT INTO asset_job_status ("assetId", "facesRecognizedAt") VALUES ($1, clock_timestamp())
ON CONFLICT ("assetId") DO UPDATE SET "facesRecognizedAt" = excluded."facesRecognizedAt";

-- name: duplicates_detected
INSERT INTO asset_job_status ("assetId", "duplicatesDetectedAt") VALUES ($1, clock_timestamp())
ON CONFLICT ("assetId") DO UPDATE SET "duplicatesDetectedAt" = excluded."duplicatesDetectedAt";

-- name: ocr_done
INSERT INTO asset_job_status ("assetId", "ocrAt") VALUES ($1, clock_timestamp())
ON CONFLICT ("assetId") DO UPDATE SET "ocrAt" = excluded."ocrAt";

-- name: upsert_files
INSERT INTO asset_file ("assetId", type, path, "isEdited")
SELECT $1, type, path, $4 FROM unnest($2::text[], $3::text[]) AS file (type, path)
ON CONFLICT ("assetId", type, "isEdited") DO UPDATE SET
    path = excluded.path, "isProgressive" = excluded."isProgressive", "isTransparent" = excluded."isTransparent";

-- name: delete_edited_files
DELETE FROM asset_file WHERE "assetId" = $1 AND "isEdited" RETURNING path;

-- name: preview
SELECT path FROM asset_file WHERE "assetId" = $1 AND type = 'preview' AND NOT "isEdited";

-- name: edited_preview
SELECT path FROM asset_file WHERE "assetId" = $1 AND type = 'preview' AND "isEdited";

-- name: files
SELECT path FROM asset_file WHERE "assetId" = $1;

-- name: owner
SELECT "ownerId" FROM asset WHERE id = $1;

-- name: update_thumbhash
UPDATE asset SET thumbhash = $2 WHERE id = $1;

-- name: update_size
UPDATE asset SET width = $2, height = $3 WHERE id = $1;

-- name: upsert_embedding
INSERT INTO smart_search ("assetId", embedding) VALUES ($1, $2::text::vector)
ON CONFLICT ("assetId") DO UPDATE SET embedding = excluded.embedding;

-- One statement, so that readers see the old lines or the new ones.
-- name: upsert_lines
WITH deleted AS (
    DELETE FROM asset_ocr WHERE "assetId" = $1
), inserted AS (
    INSERT INTO asset_ocr ("assetId", x1, y1, x2, y2, x3, y3, x4, y4, "boxScore", "textScore", text)
    SELECT $1, * FROM unnest($2::real[], $3::real[], $4::real[], $5::real[], $6::real[], $7::real[], $8::real[],
                             $9::real[], $10::real[], $11::real[], $12::text[])
), searchable AS (
    INSERT INTO ocr_search ("assetId", text) VALUES ($1, $13)
    ON CONFLICT ("assetId") DO UPDATE SET text = excluded.text
)
SELECT 1;

-- name: delete_lines
WITH deleted AS (
    DELETE FROM asset_ocr WHERE "assetId" = $1
), unsearchable AS (
    DELETE FROM ocr_search WHERE "assetId" = $1
)
SELECT 1;

-- name: trash
UPDATE asset SET status = 'trashed', "deletedAt" = clock_timestamp() WHERE id = $1;

-- name: restore
UPDATE asset SET status = 'active', "deletedAt" = NULL WHERE id = $1;

-- name: mark_deleted
UPDATE asset SET status = 'deleted' WHERE id = $1;

-- name: delete_asset
DELETE FROM asset WHERE id = $1;

-- name: set_visibility
UPDATE asset SET visibility = $2::text::asset_visibility_enum WHERE id = $1;

-- name: set_favourite
UPDATE asset SET "isFavorite" = $2 WHERE id = $1;

-- name: go_offline
UPDATE asset SET "isOffline" = true, "deletedAt" = clock_timestamp() WHERE id = $1;

-- name: come_online
UPDATE asset SET "isOffline" = false, "deletedAt" = NULL WHERE id = $1;

-- name: delete_edits
DELETE FROM asset_edit WHERE "assetId" = $1;

-- name: insert_edit
INSERT INTO asset_edit ("assetId", sequence, action, parameters) VALUES ($1, $2, $3, $4::text::jsonb);

-- name: crop
SELECT parameters FROM asset_edit WHERE "assetId" = $1 AND action = 'crop';

-- name: lines
SELECT id, text, "isVisible", x1, y1, x2, y2, x3, y3, x4, y4 FROM asset_ocr WHERE "assetId" = $1;

-- name: show_lines
UPDATE asset_ocr SET "isVisible" = $2 WHERE id = ANY ($1::uuid[]);

-- name: rewrite_search_text
UPDATE ocr_search SET text = $2 WHERE "assetId" = $1;

-- name: upsert_tag
INSERT INTO tag ("userId", value) SELECT "ownerId", $2 FROM asset WHERE id = $1
ON CONFLICT ("userId", value) DO UPDATE SET value = excluded.value RETURNING id;

-- name: insert_tag_assets
INSERT INTO tag_asset ("assetId", "tagId") SELECT asset, $2 FROM unnest($1::uuid[]) AS asset ON CONFLICT DO NOTHING;

-- name: tagged
SELECT "assetId" FROM tag_asset WHERE "tagId" = $1 ORDER BY 1;

-- name: rename_tag
UPDATE tag SET value = $2 WHERE id = $1;

-- name: delete_tag
DELETE FROM tag WHERE id = $1;

-- name: delete_tag_from_assets
DELETE FROM tag_asset WHERE "tagId" = $1 AND "assetId" = ANY ($2::uuid[]);

-- name: update_exif_tags
UPDATE asset_exif SET
    tags = (SELECT array_agg(value ORDER BY value) FROM tag_asset JOIN tag ON tag.id = "tagId" WHERE "assetId" = $1),
    "lockedProperties" = '{tags}'
WHERE "assetId" = $1;

-- name: delete_tag_assets
DELETE FROM tag_asset WHERE "assetId" = $1;

-- Only tags known to the file's metadata survive: a tag_asset row written by SQL alone does not.
-- name: rewrite_tag_assets
INSERT INTO tag_asset ("assetId", "tagId")
SELECT asset.id, tag.id
FROM asset JOIN asset_exif ON asset_exif."assetId" = asset.id
JOIN tag ON tag."userId" = asset."ownerId" AND tag.value = ANY (asset_exif.tags)
WHERE asset.id = $1;
