-- Brings back what a restored backup took along. Immich's restore drops schema public with everything that depends on it:
-- pgvector, and so our column of its type, when the backup is older than our schema.
ALTER TABLE immich_indexer.photo ADD COLUMN IF NOT EXISTS clip halfvec;
