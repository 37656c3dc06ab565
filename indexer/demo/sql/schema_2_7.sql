-- Immich 2.7 is 3.1 without these: durations were text, and recognised lines were not yet synchronised to phones.

ALTER TABLE asset ALTER COLUMN duration TYPE varchar;
DROP INDEX "asset_createdAt_idx";
DROP TRIGGER asset_ocr_delete_audit ON asset_ocr;
DROP FUNCTION asset_ocr_delete_audit();
DROP TABLE asset_ocr_audit;
ALTER TABLE asset_ocr DROP COLUMN "updateId";
