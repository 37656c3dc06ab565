-- Asked by indexer/database/rights.py.

-- name: lacking
-- Rights that role.sql grants and this role lacks, on tables that exist, for example `INSERT on asset_ocr_audit`. That table exists
-- from Immich 3 on. Immich's own trigger on asset_ocr writes it, with our rights.
SELECT coalesce(array_agg(format('%s on %s', needed, name) ORDER BY name, needed), '{}')
FROM (VALUES
    ('SELECT', '{asset,asset_file,asset_exif,asset_edit,asset_job_status,smart_search,asset_ocr,ocr_search,tag,tag_asset,album,
        album_asset,album_user,person,asset_face,user,partner}'),
    ('TRIGGER', '{asset,asset_file,asset_exif,ocr_search,tag,tag_asset,album,album_asset,person,asset_face}'),
    ('INSERT', '{smart_search,asset_ocr,ocr_search,asset_job_status,asset_ocr_audit}'),
    ('UPDATE', '{smart_search,asset_ocr,ocr_search,asset_job_status}'),
    ('DELETE', '{smart_search,asset_ocr,ocr_search,asset_job_status}')
) AS wanted (needed, names), unnest(names::text[]) AS name
WHERE NOT has_table_privilege(to_regclass(format('public.%I', name)), needed);
