-- For a server without zhparser whose data directory was used with zhparser, for example after a return to Immich's own image.
DROP SCHEMA IF EXISTS immich_indexer_zhparser CASCADE;
