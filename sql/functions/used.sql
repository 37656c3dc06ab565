-- Whether a photo of this user that a search shows has that person, tag or album. Photos are looked at one by one until there is one, so
-- that a person on most photos of the library takes no longer than one on a few.
CREATE OR REPLACE FUNCTION immich_indexer_2.used(owner uuid, kind text, id uuid, archived boolean) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    photo uuid;
    photos refcursor;
BEGIN
    IF used.kind = 'tag' THEN
        OPEN photos NO SCROLL FOR SELECT g."assetId" FROM public.tag_asset g WHERE g."tagId" = used.id;
    ELSIF used.kind = 'album' THEN
        OPEN photos NO SCROLL FOR SELECT x."assetId" FROM public.album_asset x WHERE x."albumId" = used.id;
    ELSIF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.asset_face'::regclass AND attname = 'personGroupId') THEN
        OPEN photos NO SCROLL FOR
        SELECT f."assetId" FROM public.asset_face f WHERE f."personGroupId" = used.id AND f."deletedAt" IS NULL AND f."isVisible";
    ELSE
        OPEN photos NO SCROLL FOR
        SELECT f."assetId" FROM public.asset_face f WHERE f."personId" = used.id AND f."deletedAt" IS NULL AND f."isVisible";
    END IF;
    LOOP
        FETCH photos INTO photo;
        EXIT WHEN NOT FOUND;
        IF EXISTS (SELECT FROM public.asset a
                   WHERE a.id = photo AND a."ownerId" = used.owner AND present(a)
                     AND (a.visibility = 'timeline' OR used.archived AND a.visibility = 'archive')) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;
