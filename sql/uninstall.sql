-- Dropping the trigger functions also drops the triggers on Immich's tables. A role that does not own these tables can drop them
-- only in this way.
DROP SCHEMA IF EXISTS immich_indexer_index CASCADE;
DROP SCHEMA IF EXISTS immich_indexer_3 CASCADE;
DROP SCHEMA IF EXISTS immich_indexer_2 CASCADE;
DROP SCHEMA IF EXISTS immich_indexer CASCADE;
DROP SCHEMA IF EXISTS immich_indexer_zhparser CASCADE;
