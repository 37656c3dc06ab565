-- What Immich 3.2 makes of 3.1's schema: a changed line of text is told to phones, people belong to groups that several users
-- share, workflows write logs. Nobody has run a 3.2 here: what its release notes do not tell of columns is our guess.

ALTER TABLE asset_ocr ADD "updatedAt" timestamptz NOT NULL DEFAULT now();
CREATE TRIGGER "asset_ocr_updatedAt" BEFORE UPDATE ON asset_ocr FOR EACH ROW EXECUTE FUNCTION updated_at();

ALTER TABLE "user" ALTER password DROP NOT NULL, ALTER password DROP DEFAULT;
ALTER TABLE album ALTER description DROP NOT NULL, ALTER description DROP DEFAULT;

-- Users of one cluster group look for people together; each begins alone.
CREATE TABLE cluster_group (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "createdAt" timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE "user" ADD "clusterGroupId" uuid;
UPDATE "user" SET "clusterGroupId" = gen_random_uuid();
INSERT INTO cluster_group (id) SELECT "clusterGroupId" FROM "user";
ALTER TABLE "user" ALTER "clusterGroupId" SET NOT NULL, ADD FOREIGN KEY ("clusterGroupId") REFERENCES cluster_group;
-- A trigger of ours, in place of Immich's code.
CREATE FUNCTION user_cluster_group() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cluster_group DEFAULT VALUES RETURNING id INTO NEW."clusterGroupId";
    RETURN NEW;
END
$$;
CREATE TRIGGER user_cluster_group BEFORE INSERT ON "user" FOR EACH ROW WHEN (NEW."clusterGroupId" IS NULL)
    EXECUTE FUNCTION user_cluster_group();
CREATE INDEX "user_clusterGroupId_idx" ON "user" ("clusterGroupId");

-- One face in many pictures; what each user calls it is a row of person.
CREATE TABLE person_group (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "clusterGroupId"    uuid NOT NULL REFERENCES cluster_group ON DELETE CASCADE,
    "createdAt"         timestamptz NOT NULL DEFAULT now(),
    "updatedAt"         timestamptz NOT NULL DEFAULT now(),
    "updateId"          uuid NOT NULL DEFAULT immich_uuid_v7()
);
INSERT INTO person_group (id, "clusterGroupId")
SELECT p.id, u."clusterGroupId" FROM person p JOIN "user" u ON u.id = p."ownerId";
CREATE TRIGGER "person_group_updatedAt" BEFORE UPDATE ON person_group FOR EACH ROW EXECUTE FUNCTION updated_at();

ALTER TABLE asset_face DROP CONSTRAINT "asset_face_personId_fkey";
ALTER TABLE asset_face RENAME "personId" TO "personGroupId";
ALTER TABLE asset_face ADD FOREIGN KEY ("personGroupId") REFERENCES person_group ON UPDATE CASCADE ON DELETE SET NULL;
ALTER INDEX "asset_face_assetId_personId_idx" RENAME TO "asset_face_assetId_personGroupId_idx";
ALTER INDEX "asset_face_personId_assetId_idx" RENAME TO "asset_face_personGroupId_assetId_idx";

ALTER TABLE person DROP CONSTRAINT person_pkey;
ALTER TABLE person ALTER id DROP DEFAULT;
ALTER TABLE person RENAME id TO "personGroupId";
ALTER TABLE person ADD PRIMARY KEY ("ownerId", "personGroupId"),
    ADD FOREIGN KEY ("personGroupId") REFERENCES person_group ON UPDATE CASCADE ON DELETE CASCADE;

CREATE TABLE workflow (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "ownerId"   uuid NOT NULL REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE,
    trigger     varchar NOT NULL,
    name        varchar,
    enabled     boolean NOT NULL DEFAULT true,
    logging     boolean NOT NULL DEFAULT false,
    "createdAt" timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE workflow_log (
    id              uuid PRIMARY KEY DEFAULT immich_uuid_v7(),
    "workflowId"    uuid NOT NULL REFERENCES workflow ON DELETE CASCADE,
    message         text NOT NULL,
    "createdAt"     timestamptz NOT NULL DEFAULT now()
);
