-- Faces and whose they are: by person until 3.1, from 3.2 on by group, of which each user of its cluster group has a person row.

-- name: insert_person
INSERT INTO person ("ownerId") SELECT "ownerId" FROM asset WHERE id = $1 RETURNING id;

-- name: insert_group
INSERT INTO person_group ("clusterGroupId")
SELECT u."clusterGroupId" FROM asset a JOIN "user" u ON u.id = a."ownerId" WHERE a.id = $1 RETURNING id;

-- name: insert_persons
INSERT INTO person ("ownerId", "personGroupId")
SELECT u.id, g.id FROM person_group g JOIN "user" u USING ("clusterGroupId") WHERE g.id = $1 ON CONFLICT DO NOTHING;

-- name: insert_face
INSERT INTO asset_face ("assetId", "personId", "imageWidth", "imageHeight", "boundingBoxX2", "boundingBoxY2")
VALUES ($1, $2, 300, 200, 50, 50);

-- name: insert_face_3_2
INSERT INTO asset_face ("assetId", "personGroupId", "imageWidth", "imageHeight", "boundingBoxX2", "boundingBoxY2")
VALUES ($1, $2, 300, 200, 50, 50);

-- name: name_person
UPDATE person SET name = $3 WHERE "ownerId" = $1 AND id = $2 RETURNING *;

-- name: name_person_3_2
UPDATE person SET name = $3 WHERE "ownerId" = $1 AND "personGroupId" = $2 RETURNING *;

-- name: join_cluster
UPDATE "user" SET "clusterGroupId" = (SELECT "clusterGroupId" FROM "user" WHERE id = $2) WHERE id = $1;

-- name: share_person
INSERT INTO person_user ("ownerId", "personGroupId", "sharedWithId") VALUES ($1, $2, $3);

-- name: hide_person
UPDATE person SET "isHidden" = $3 WHERE "ownerId" = $1 AND id = $2;

-- name: hide_person_3_2
UPDATE person SET "isHidden" = $3 WHERE "ownerId" = $1 AND "personGroupId" = $2;

-- name: move_faces
UPDATE asset_face SET "personId" = $2 WHERE "personId" = $1;

-- name: move_faces_3_2
UPDATE asset_face SET "personGroupId" = $2 WHERE "personGroupId" = $1;

-- name: delete_person
DELETE FROM person WHERE "ownerId" = $1 AND id = $2;

-- name: delete_person_3_2
DELETE FROM person WHERE "ownerId" = $1 AND "personGroupId" = $2;

-- name: remove_face
UPDATE asset_face SET "deletedAt" = clock_timestamp() WHERE "assetId" = $1 AND "personId" = $2;

-- name: remove_face_3_2
UPDATE asset_face SET "deletedAt" = clock_timestamp() WHERE "assetId" = $1 AND "personGroupId" = $2;

-- name: show_face
UPDATE person SET "thumbnailPath" = $3 WHERE "ownerId" = $1 AND id = $2;

-- name: show_face_3_2
UPDATE person SET "thumbnailPath" = $3 WHERE "ownerId" = $1 AND "personGroupId" = $2;
