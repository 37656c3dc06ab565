-- The names of the albums that some photos are in, and that belong to the photo's owner. In Immich 3 the owner is a member with that
-- role. (As in people.sql, only the statement that runs is planned.)
CREATE OR REPLACE FUNCTION immich_indexer_2.albums(assets uuid[]) RETURNS TABLE (asset_id uuid, names jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = 'public.album'::regclass AND attname = 'ownerId' AND NOT attisdropped) THEN
        RETURN QUERY
        SELECT x."assetId", jsonb_agg(DISTINCT l."albumName" ORDER BY l."albumName")
        FROM public.album_asset x JOIN public.album l ON l.id = x."albumId"
        JOIN public.asset a ON a.id = x."assetId" AND (a."ownerId" = l."ownerId") IS TRUE
        WHERE x."assetId" = ANY (assets) AND l."deletedAt" IS NULL GROUP BY x."assetId";
    ELSE
        RETURN QUERY
        SELECT x."assetId", jsonb_agg(DISTINCT l."albumName" ORDER BY l."albumName")
        FROM public.album_asset x JOIN public.album l ON l.id = x."albumId"
        JOIN public.asset a ON a.id = x."assetId"
        JOIN public.album_user m ON m."albumId" = l.id AND (m."userId" = a."ownerId") IS TRUE AND m.role = 'owner'
        WHERE x."assetId" = ANY (assets) AND l."deletedAt" IS NULL GROUP BY x."assetId";
    END IF;
END
$$;
