-- What Immich 3.1 makes of 2.7's schema: durations become numbers, recognised lines are synchronised to phones, and the owner of an
-- album is a member like others, with that role.

ALTER TABLE asset ALTER duration TYPE integer USING (extract(epoch FROM duration::interval) * 1000)::integer;  -- milliseconds
CREATE INDEX "asset_createdAt_idx" ON asset ("createdAt");

ALTER TABLE asset_ocr ADD "updateId" uuid NOT NULL DEFAULT immich_uuid_v7();
CREATE INDEX "asset_ocr_updateId_idx" ON asset_ocr ("updateId");

CREATE TABLE asset_ocr_audit (
    id          uuid PRIMARY KEY DEFAULT immich_uuid_v7(),
    "assetId"   uuid NOT NULL,
    "deletedAt" timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX "asset_ocr_audit_assetId_idx" ON asset_ocr_audit ("assetId");
CREATE INDEX "asset_ocr_audit_deletedAt_idx" ON asset_ocr_audit ("deletedAt");

CREATE FUNCTION asset_ocr_delete_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO asset_ocr_audit ("assetId") SELECT "assetId" FROM old;
    RETURN NULL;
END
$$;

CREATE TRIGGER asset_ocr_delete_audit AFTER DELETE ON asset_ocr REFERENCING OLD TABLE AS old
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION asset_ocr_delete_audit();

CREATE TYPE album_user_role_enum AS ENUM ('owner', 'editor', 'viewer');
ALTER TABLE album_user ALTER role DROP DEFAULT;
ALTER TABLE album_user ALTER role TYPE album_user_role_enum USING role::album_user_role_enum;
ALTER TABLE album_user ALTER role SET DEFAULT 'editor';
INSERT INTO album_user ("albumId", "userId", role) SELECT id, "ownerId", 'owner' FROM album
ON CONFLICT ("albumId", "userId") DO UPDATE SET role = 'owner';
ALTER TABLE album DROP CONSTRAINT "album_ownerId_fkey", DROP "ownerId";
CREATE UNIQUE INDEX album_user_unique_owner ON album_user ("albumId") WHERE role = 'owner';
