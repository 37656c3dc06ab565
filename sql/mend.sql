-- Adds what a restore of a backup removed. Immich's restore drops schema public with everything that depends on it, also pgvector.
-- If the backup is older than our schema, our columns of pgvector's types are lost with it.
ALTER TABLE immich_indexer.photo ADD COLUMN IF NOT EXISTS clip halfvec;
ALTER TABLE immich_indexer_3.vector ADD COLUMN IF NOT EXISTS embedding halfvec;
DELETE FROM immich_indexer_3.vector WHERE embedding IS NULL;
