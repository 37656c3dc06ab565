-- Dropping the trigger functions takes the triggers on Immich's tables with them, which is the only way for a role that does
-- not own those tables.
DROP SCHEMA IF EXISTS immich_indexer CASCADE;
DROP SCHEMA IF EXISTS immich_indexer_zhparser CASCADE;
