-- What Immich knows of some photos, one row for each eligible one. Its text is hashed, so the order of all names is fixed, and no value
-- depends on the settings of the session. People, tags and albums are those of the photo's owner. `(a = b) IS TRUE` is for the planner:
-- where its figures are old, it would otherwise look up all photos of the owner, for each tag of each photo. So it is in people.sql and
-- albums.sql.
CREATE OR REPLACE FUNCTION immich_indexer_2.facts(assets uuid[]) RETURNS TABLE (asset_id uuid, facts jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH tags AS MATERIALIZED (  -- otherwise it is sometimes evaluated for each photo: seconds for 100
        SELECT g."assetId" AS asset_id, jsonb_agg(DISTINCT t.value ORDER BY t.value) AS names
        FROM public.tag_asset g JOIN public.tag t ON t.id = g."tagId"
        JOIN public.asset o ON o.id = g."assetId" AND (o."ownerId" = t."userId") IS TRUE
        WHERE g."assetId" = ANY (assets) GROUP BY g."assetId"
    )
    SELECT a.id, jsonb_build_object(
        'owner', a."ownerId",
        'taken', (extract(epoch FROM a."fileCreatedAt") * 1000000)::bigint,
        'date', to_char(a."localDateTime" AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
        'type', lower(a.type),
        'file', a."originalFileName",
        'description', coalesce(x.description, ''),
        'place', array_remove(ARRAY[x.city, x.state, x.country], NULL),
        'camera', array_remove(ARRAY[nullif(concat_ws(' ', x.make, x.model), ''), x."lensModel"], NULL),
        'person', coalesce(people.names, '[]'),
        'tag', coalesce(tags.names, '[]'),
        'album', coalesce(albums.names, '[]'))
    FROM public.asset a
    LEFT JOIN public.asset_exif x ON x."assetId" = a.id
    LEFT JOIN immich_indexer_2.people(assets) AS people ON people.asset_id = a.id
    LEFT JOIN tags ON tags.asset_id = a.id
    LEFT JOIN immich_indexer_2.albums(assets) AS albums ON albums.asset_id = a.id
    WHERE a.id = ANY (assets) AND eligible(a);
END
$$;
