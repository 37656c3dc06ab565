-- The named people, the tags and the albums of one user, as this user calls them, without hidden people. A person's id is the one in the
-- addresses of Immich's API: from 3.2 on that of the group. (As in people.sql, only the statement that runs is planned.)
CREATE OR REPLACE FUNCTION immich_indexer_2.names(owner uuid) RETURNS TABLE (kind text, id uuid, name text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.person'::regclass AND attname = 'personGroupId') THEN
        RETURN QUERY
        SELECT 'person', p."personGroupId", p.name::text FROM public.person p
        WHERE p."ownerId" = names.owner AND p.name <> '' AND NOT p."isHidden";
    ELSE
        RETURN QUERY
        SELECT 'person', p.id, p.name::text FROM public.person p
        WHERE p."ownerId" = names.owner AND p.name <> '' AND NOT p."isHidden";
    END IF;
    IF EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = 'public.album'::regclass AND attname = 'ownerId' AND NOT attisdropped) THEN
        RETURN QUERY
        SELECT 'album', l.id, l."albumName"::text FROM public.album l WHERE l."ownerId" = names.owner AND l."deletedAt" IS NULL;
    ELSE
        RETURN QUERY
        SELECT 'album', l.id, l."albumName"::text FROM public.album l JOIN public.album_user m ON m."albumId" = l.id
        WHERE m."userId" = names.owner AND m.role = 'owner' AND l."deletedAt" IS NULL;
    END IF;
    RETURN QUERY SELECT 'tag', t.id, t.value::text FROM public.tag t WHERE t."userId" = names.owner;
END
$$;
