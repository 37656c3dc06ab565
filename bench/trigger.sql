-- What the stand-in for Immich leaves out. First, what Immich asks before it writes for a person: who that is, and whether the photo,
-- person or album is theirs.

-- name: session
SELECT s.id, s."updatedAt", s."pinExpiresAt", to_jsonb(u) FROM session s JOIN "user" u ON u.id = s."userId" AND u."deletedAt" IS NULL
WHERE s.token = $1 AND (s."expiresAt" IS NULL OR s."expiresAt" > now());

-- name: own_photo
SELECT id FROM asset WHERE id = ANY ($2::uuid[]) AND "ownerId" = $1 AND visibility <> 'locked';

-- name: own_person
SELECT "personGroupId" FROM person WHERE "personGroupId" = ANY ($2::uuid[]) AND "ownerId" = $1;

-- name: own_album
SELECT a.id FROM album a JOIN album_user m ON m."albumId" = a.id AND m.role = 'owner' AND m."userId" = $1
WHERE a.id = ANY ($2::uuid[]) AND a."deletedAt" IS NULL;

-- name: in_album
SELECT * FROM album_asset WHERE "albumId" = $1 AND "assetId" = ANY ($2::uuid[]);

-- name: archive
UPDATE asset SET visibility = CASE visibility WHEN 'archive' THEN 'timeline' ELSE 'archive' END::asset_visibility_enum
WHERE id = ANY ($1::uuid[]);
