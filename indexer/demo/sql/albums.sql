-- What a person does with albums. Until 2.7 an album has an owner, from 3.1 on the owner is a member of it.

-- name: create
INSERT INTO album ("ownerId", "albumName") VALUES ($1, $2) RETURNING id;

-- One statement, so that an album without an owner is never seen.
-- name: create_3_1
WITH made AS (
    INSERT INTO album ("albumName") VALUES ($2) RETURNING id
), member AS (
    INSERT INTO album_user ("albumId", "userId", role) SELECT id, $1, 'owner' FROM made
)
SELECT id FROM made;

-- name: add
INSERT INTO album_asset ("albumId", "assetId") SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING;

-- name: touch
UPDATE album SET "updatedAt" = clock_timestamp(), "albumThumbnailAssetId" = coalesce("albumThumbnailAssetId", $2) WHERE id = $1;

-- name: remove
DELETE FROM album_asset WHERE "albumId" = $1 AND "assetId" = ANY ($2::uuid[]);

-- name: rename
UPDATE album SET "albumName" = $2 WHERE id = $1;

-- name: share
INSERT INTO album_user ("albumId", "userId", role) VALUES ($1, $2, 'editor');

-- name: unshare
DELETE FROM album_user WHERE "albumId" = $1 AND "userId" = $2;

-- name: delete
DELETE FROM album WHERE id = $1;
