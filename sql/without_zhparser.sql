-- For a data directory that had zhparser and is on a server without it, as after going back to Immich's stock image.
DROP SCHEMA IF EXISTS immich_indexer_zhparser CASCADE;
