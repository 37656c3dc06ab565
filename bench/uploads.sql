-- A whole library's uploads with few statements: what Immich writes for each photo, for many photos at a time.
-- $1 is always the array of their ids.

-- name: insert_assets
INSERT INTO asset (id, "ownerId", type, "originalPath", "originalFileName", checksum, "checksumAlgorithm",
                   "fileCreatedAt", "fileModifiedAt", "localDateTime")
SELECT id, $2, 'IMAGE', '/data/upload/' || id || '.jpg', 'IMG_' || number || '.jpg', uuid_send(id), 'sha1', now(), now(), now()
FROM unnest($1::uuid[]) WITH ORDINALITY AS photo (id, number);

-- name: insert_exif
INSERT INTO asset_exif ("assetId", "fileSizeInByte") SELECT id, 1000000 FROM unnest($1::uuid[]) AS photo (id);

-- name: update_exif
UPDATE asset_exif SET make = 'Stand-in', model = 'Camera', "exifImageWidth" = 1440, "exifImageHeight" = 1080,
    "dateTimeOriginal" = now(), "modifyDate" = now()
WHERE "assetId" = ANY ($1::uuid[]);

-- name: update_metadata
UPDATE asset SET width = 1440, height = 1080, "localDateTime" = now() WHERE id = ANY ($1::uuid[]);

-- name: insert_status
INSERT INTO asset_job_status ("assetId", "metadataExtractedAt") SELECT id, now() FROM unnest($1::uuid[]) AS photo (id);

-- name: insert_files
INSERT INTO asset_file ("assetId", type, path)
SELECT id, type, '/data/thumbs/' || id || '_' || type || '.jpeg'
FROM unnest($1::uuid[]) AS photo (id), unnest(ARRAY['preview', 'thumbnail']) AS file (type);

-- name: update_thumbhash
UPDATE asset SET thumbhash = uuid_send(id) WHERE id = ANY ($1::uuid[]);

-- name: insert_embeddings
INSERT INTO smart_search ("assetId", embedding)
SELECT id, embedding::vector FROM unnest($1::uuid[], $2::text[]) AS photo (id, embedding);

-- name: insert_lines
INSERT INTO asset_ocr ("assetId", x1, y1, x2, y2, x3, y3, x4, y4, "boxScore", "textScore", text)
SELECT id, 0.1, 0.1, 0.9, 0.1, 0.9, 0.2, 0.1, 0.2, 0.9, 0.95, line
FROM unnest($1::uuid[]) AS photo (id), unnest($2::text[]) AS read (line);

-- name: insert_search_text
INSERT INTO ocr_search ("assetId", text) SELECT id, $2 FROM unnest($1::uuid[]) AS photo (id);

-- name: update_status
UPDATE asset_job_status SET "ocrAt" = now(), "facesRecognizedAt" = now(), "duplicatesDetectedAt" = now()
WHERE "assetId" = ANY ($1::uuid[]);
