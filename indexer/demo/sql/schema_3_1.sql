-- What Immich 3.1 makes of 2.7's schema: durations become numbers, and recognised lines are synchronised to phones.

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
