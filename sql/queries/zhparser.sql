-- Asked by indexer/database/zhparser.py.

-- name: state
-- A value of the type State in that module.
SELECT CASE
    WHEN zhparser.name IS NULL THEN CASE WHEN ours.schema IS NULL THEN 'none' ELSE 'lost' END
    WHEN EXISTS (SELECT FROM pg_ts_config WHERE cfgname = 'words' AND cfgnamespace = ours.schema) THEN 'used'
    WHEN zhparser.installed_version IS NULL THEN 'offered'
    ELSE 'ready' END
FROM (SELECT to_regnamespace('immich_indexer_zhparser') AS schema) AS ours
LEFT JOIN pg_available_extensions zhparser ON zhparser.name = 'zhparser';

-- name: is_superuser
SELECT rolsuper FROM pg_roles WHERE rolname = current_user;
