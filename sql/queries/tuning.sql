-- Asked by indexer/tuning.py.

-- name: database_settings
-- Settings stored for this database and every role.
SELECT unnest(setconfig) FROM pg_db_role_setting
WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND setrole = 0;

-- name: may_alter_database
SELECT pg_has_role(current_user, datdba, 'USAGE') FROM pg_database WHERE datname = current_database();

-- name: remember
INSERT INTO immich_indexer.state (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: remembered
SELECT value FROM immich_indexer.state WHERE key = $1;
