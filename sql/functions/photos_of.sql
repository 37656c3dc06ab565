-- The photos of a person (from Immich 3.2 on: of the person's group), of a tag or of an album.
CREATE OR REPLACE FUNCTION immich_indexer_2.photos_of(kind text, id uuid) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF kind = 'tag' THEN
        RETURN QUERY SELECT g."assetId" FROM public.tag_asset g WHERE g."tagId" = photos_of.id;
    ELSIF kind = 'album' THEN
        RETURN QUERY SELECT x."assetId" FROM public.album_asset x WHERE x."albumId" = photos_of.id;
    ELSIF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.asset_face'::regclass AND attname = 'personGroupId') THEN
        RETURN QUERY SELECT DISTINCT f."assetId" FROM public.asset_face f WHERE f."personGroupId" = photos_of.id;
    ELSE
        RETURN QUERY SELECT DISTINCT f."assetId" FROM public.asset_face f WHERE f."personId" = photos_of.id;
    END IF;
END
$$;
