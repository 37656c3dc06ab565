-- The names of the people on some photos, as their owners call them, without those hidden. From Immich 3.2 on a face belongs to a group,
-- and each user has a person, and a name, for it. (A statement is planned when it first runs, so the columns of the other one need
-- not exist.)
CREATE OR REPLACE FUNCTION immich_indexer_2.people(assets uuid[]) RETURNS TABLE (asset_id uuid, names jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.asset_face'::regclass AND attname = 'personGroupId') THEN
        RETURN QUERY
        SELECT f."assetId", jsonb_agg(DISTINCT p.name ORDER BY p.name)
        FROM public.asset_face f JOIN public.asset a ON a.id = f."assetId"
        JOIN public.person p ON p."personGroupId" = f."personGroupId" AND (p."ownerId" = a."ownerId") IS TRUE
        WHERE f."assetId" = ANY (assets) AND f."deletedAt" IS NULL AND f."isVisible" AND p.name <> '' AND NOT p."isHidden"
        GROUP BY f."assetId";
    ELSE
        RETURN QUERY
        SELECT f."assetId", jsonb_agg(DISTINCT p.name ORDER BY p.name)
        FROM public.asset_face f JOIN public.asset a ON a.id = f."assetId"
        JOIN public.person p ON p.id = f."personId" AND (p."ownerId" = a."ownerId") IS TRUE
        WHERE f."assetId" = ANY (assets) AND f."deletedAt" IS NULL AND f."isVisible" AND p.name <> '' AND NOT p."isHidden"
        GROUP BY f."assetId";
    END IF;
END
$$;
