-- Adds what a restore of a backup removed. Immich's restore drops schema public with everything that depends on it, also pgvector.
-- If the backup is older than our schema, our column of pgvector's type is lost with it.
ALTER TABLE immich_indexer.photo ADD COLUMN IF NOT EXISTS clip halfvec;
