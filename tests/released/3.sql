CREATE SCHEMA immich_indexer;
COMMENT ON SCHEMA immich_indexer IS 'immich-indexer: safe to drop with `immich-indexer uninstall`';
CREATE SCHEMA immich_indexer_2;
COMMENT ON SCHEMA immich_indexer_2 IS 'immich-indexer: safe to drop with `immich-indexer uninstall`';
CREATE SCHEMA immich_indexer_3;
COMMENT ON SCHEMA immich_indexer_3 IS 'immich-indexer: safe to drop with `immich-indexer uninstall`';
CREATE FUNCTION immich_indexer.document(content text, ngrams text) RETURNS tsvector
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_ts_config
               WHERE cfgname = 'words' AND cfgnamespace = to_regnamespace('immich_indexer_zhparser')) THEN
        -- Set here, not with the function: only a superuser may declare a setting of a library that is not loaded.
        PERFORM set_config('zhparser.' || setting, 'off', true)
        FROM unnest('{seg_with_duality,multi_duality,multi_zmain,multi_zall}'::text[]) setting;
        PERFORM set_config('zhparser.' || setting, 'on', true) FROM unnest('{punctuation_ignore,multi_short}'::text[]) setting;
        RETURN ngrams::tsvector || setweight(to_tsvector('immich_indexer_zhparser.words', content), 'D');
    END IF;
    RETURN ngrams::tsvector;
EXCEPTION WHEN undefined_file THEN  -- zhparser's library is missing: the data directory is used with Immich's own image again
    RETURN ngrams::tsvector;
END
$$;
COMMENT ON FUNCTION immich_indexer.document(content text, ngrams text) IS 'd9af8579cb96956ddf99ed9a8679ee1eecf0b1d4802991dc958bbbc3be4ee91c 7940d1f8027a602cdb6c49caccf9e49f97e4335ab44aada89bc279e2a0c4faf0';
CREATE FUNCTION immich_indexer.on_asset_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    other_facts boolean;
    was_eligible boolean;
BEGIN
    other_facts := (new."originalFileName", new."localDateTime", new."fileCreatedAt", new.type, new."ownerId")
        IS DISTINCT FROM (old."originalFileName", old."localDateTime", old."fileCreatedAt", old.type, old."ownerId");
    IF NOT other_facts AND (new."deletedAt", new.status, new.visibility, new."isOffline", new."isEdited")
            IS NOT DISTINCT FROM (old."deletedAt", old.status, old.visibility, old."isOffline", old."isEdited")
       OR NOT (((new."deletedAt" IS NULL AND new.status = 'active') AND new.visibility <> 'hidden' AND NOT new."isOffline")) OR (coalesce(current_setting('immich_indexer.missed', true) = 'on', false)) THEN
        RETURN NULL;
    END IF;
    was_eligible := ((old."deletedAt" IS NULL AND old.status = 'active') AND old.visibility <> 'hidden' AND NOT old."isOffline");
    IF NOT was_eligible OR new."isEdited" <> old."isEdited" THEN
        PERFORM immich_indexer_2.note_photo(new.id, whole => NOT was_eligible);
    END IF;
    IF other_facts OR NOT was_eligible THEN
        PERFORM immich_indexer_2.note_change('photo', new.id);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer.on_asset_update() IS '4937e8ff3655914c148680f3c226ada3a57b5e3a7043b95a60035c0eaa8b87a0 f495e7555d7875ac5f082176299c71164c5348446d9aac6d87714368fbab991a';
CREATE FUNCTION immich_indexer.on_ocr_search_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
BEGIN
    IF current_setting('immich_indexer.writing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT n."assetId",
        CASE WHEN TG_OP = 'UPDATE' AND n.text = ''
              AND NOT EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = n."assetId" AND f."isEdited")
              AND NOT EXISTS (SELECT FROM public.asset_edit e WHERE e."assetId" = n."assetId")
             THEN '{text,refreshed}' ELSE '{text}' END::text[],
        10
    FROM new_rows n;
    IF FOUND AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer.on_ocr_search_write() IS 'f85d17c6ba7e5115676748acfaeccbcea8f6e0231fc29b65415656a2b76bcc36 c07323f737feeb1dc55e167efcd097e1b7f6a851dccfea59f688c3172c1a8d9c';
CREATE FUNCTION immich_indexer.on_preview_write() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF new.type <> 'preview' OR (coalesce(current_setting('immich_indexer.missed', true) = 'on', false)) THEN
        RETURN NULL;
    END IF;
    PERFORM immich_indexer_2.note_photo(new."assetId", whole => NOT new."isEdited");
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer.on_preview_write() IS '6904ad43ab738d34941972d9eee37eb76239a38b48c51295bbc9603d20e00144 332c5ceb80b8635591708ed2451ce3f36edeeb265110e9f9e4e00af636b69281';
CREATE FUNCTION immich_indexer.on_tag_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
DECLARE
    untagged text;  -- a photo whose tags this transaction deleted (on_tag_delete.sql)
    noted integer;
BEGIN
    untagged := coalesce(current_setting('immich_indexer.untagged', true), '');
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    SELECT 'photo', "assetId", CASE untagged WHEN '' THEN 10 ELSE 15 END
    FROM new_rows WHERE "assetId"::text <> untagged LIMIT 20;
    GET DIAGNOSTICS noted = ROW_COUNT;
    IF noted = 20 THEN  -- there may be more (for a few tags, DISTINCT would take the most time of all)
        INSERT INTO immich_indexer_2.change (kind, id, priority) SELECT DISTINCT 'photo', "assetId", 15 FROM new_rows;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer.on_tag_write() IS '6b757be1d53e7640e0803f8264daa2d32d82787fed359282a6437485a96178d5 33e552bfdcdf8b8253b88da1fc0805a98292c3d83d9a7f97d649560f4ed902de';
CREATE FUNCTION immich_indexer.reprocess(asset_id uuid, tasks text[] DEFAULT NULL::text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF immich_indexer.reprocess_all(ARRAY[asset_id], tasks) = 0 THEN
        RAISE EXCEPTION 'photo % is not indexed: it is hidden, offline, in the trash, or has no preview yet', asset_id
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION immich_indexer.reprocess(asset_id uuid, tasks text[]) IS '09c97bf6190656b7d1dc60ff305bf75b8df3686ce9c18738abaa6209b2494740 ab811374a90969fe53f9bffa3999f1d8a76b744d8e152220ad2b470656a5ce60';
CREATE FUNCTION immich_indexer.reprocess_all(asset_ids uuid[], tasks text[] DEFAULT NULL::text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    unknown text[];
    wanted uuid[];
BEGIN
    IF NOT tasks <@ '{clip,ocr}'::text[] THEN
        RAISE EXCEPTION 'tasks may be clip and ocr, not %', array_to_string(tasks, ', ', 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF asset_ids IS NULL OR array_position(asset_ids, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'the ids of photos must not be null' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT array_agg(DISTINCT id::text) INTO unknown FROM unnest(asset_ids) AS requested (id)
    WHERE NOT EXISTS (SELECT FROM public.asset a WHERE a.id = requested.id);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'there is no photo %', array_to_string(unknown[:3], ', ')
            || CASE WHEN cardinality(unknown) > 3 THEN format(' and %s more', cardinality(unknown) - 3) ELSE '' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT coalesce(array_agg(a.id), '{}') INTO wanted FROM public.asset a
    WHERE a.id = ANY (asset_ids) AND ((a."deletedAt" IS NULL AND a.status = 'active') AND a.visibility <> 'hidden' AND NOT a."isOffline") AND EXISTS (
        SELECT FROM public.asset_file f WHERE f."assetId" = a.id AND f.type = 'preview' AND NOT f."isEdited");
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT id, ARRAY(SELECT DISTINCT task || '!' FROM unnest(coalesce(nullif(tasks, '{}'), '{clip,ocr}')) AS task),
        CASE WHEN cardinality(wanted) > 20 THEN 15 ELSE 0 END
    FROM unnest(wanted) AS id;
    IF FOUND AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
    RETURN cardinality(wanted);
END
$$;
COMMENT ON FUNCTION immich_indexer.reprocess_all(asset_ids uuid[], tasks text[]) IS 'bb74970e5696928fae702347c006279b60cae13f0b99bbd1f6e35f53ee460777 69e6d14719ea9645faed8f67b144a98d14c20509f8dddf8fa9c2ba0d06ce110a';
CREATE FUNCTION immich_indexer.words(content text) RETURNS tsquery
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_ts_config
               WHERE cfgname = 'words' AND cfgnamespace = to_regnamespace('immich_indexer_zhparser')) THEN
        -- Set here, not with the function: only a superuser may declare a setting of a library that is not loaded.
        PERFORM set_config('zhparser.' || setting, 'off', true)
        FROM unnest('{seg_with_duality,multi_duality,multi_zmain,multi_zall}'::text[]) setting;
        PERFORM set_config('zhparser.' || setting, 'on', true) FROM unnest('{punctuation_ignore,multi_short}'::text[]) setting;
        RETURN plainto_tsquery('immich_indexer_zhparser.words', content);
    END IF;
    RETURN '';
EXCEPTION WHEN undefined_file THEN  -- as in document.sql
    RETURN '';
END
$$;
COMMENT ON FUNCTION immich_indexer.words(content text) IS '512d08836e1ace7d008ddea13e23123d580da0c423517365d0b9e59c1a774c6e 77edb3e6dbcf1f3458cafdabc71be72896d7f6b815caa1be38126bb4eb989cf0';
CREATE FUNCTION immich_indexer_2.albums(assets uuid[]) RETURNS TABLE(asset_id uuid, names jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
COMMENT ON FUNCTION immich_indexer_2.albums(assets uuid[]) IS 'be77cdfc0a77936602e90e110f59de4c4adfa2e62689e11a3060633e18cb5c07 60505f2ff79f99765b086168ccb776c986a712934b20b4b4bd4b075f9f05fdf4';
CREATE FUNCTION immich_indexer_2.facts(assets uuid[]) RETURNS TABLE(asset_id uuid, facts jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
    WHERE a.id = ANY (assets) AND ((a."deletedAt" IS NULL AND a.status = 'active') AND a.visibility <> 'hidden' AND NOT a."isOffline");
END
$$;
COMMENT ON FUNCTION immich_indexer_2.facts(assets uuid[]) IS '7a22d72a805e3acee8567c6f96933623766a91852ce00beda9af59a0862a72b6 2aa8993312216f7c8be4c017cee241555655efcbd02287c9e370283963239672';
CREATE FUNCTION immich_indexer_2.matches(document tsvector, overflow text, facts jsonb, conditions jsonb) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT coalesce(bool_or(fulfilled) FILTER (WHERE NOT absent), false) AND NOT coalesce(bool_or(fulfilled) FILTER (WHERE absent), false)
    FROM (
        SELECT absent, NOT EXISTS (
            SELECT FROM jsonb_to_recordset(clauses) AS condition (absent boolean, terms jsonb)
            WHERE absent = EXISTS (
                SELECT FROM jsonb_to_recordset(terms)
                    AS term (phrase text, pattern text, names text, text text, rest text, public jsonb, private jsonb, own text)
                WHERE CASE WHEN term.text IS NULL THEN false
                           WHEN overflow IS NULL THEN document @@ term.text::tsquery
                           WHEN term.pattern IS NOT NULL THEN overflow ~ term.pattern
                           ELSE position(term.phrase IN overflow) > 0 END
                   OR term.rest IS NOT NULL AND document @@ term.rest::tsquery
                   OR EXISTS (SELECT FROM jsonb_each_text(facts) AS fact
                       WHERE (term.public ? fact.key
                              OR term.private ? fact.key AND (term.own IS NULL OR document @@ term.own::tsquery))
                         AND CASE WHEN term.pattern IS NULL THEN position(term.phrase IN fact.value) > 0
                                  WHEN term.private ? fact.key THEN fact.value ~ term.names
                                  ELSE fact.value ~ term.pattern END)
            )
        ) AS fulfilled
        FROM jsonb_to_recordset(conditions) AS asked (absent boolean, clauses jsonb)
    ) AS asked
$$;
COMMENT ON FUNCTION immich_indexer_2.matches(document tsvector, overflow text, facts jsonb, conditions jsonb) IS 'effc9bcd591d91931411c9890e9717e2e67877d8b44ed138e9830f9ac520f1c2 fa821695433e43b4f70a1b1e741d3cd901cbf2ef90217ada2f6c2dd18198d4b4';
CREATE FUNCTION immich_indexer_2.names(owner uuid) RETURNS TABLE(kind text, id uuid, name text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
COMMENT ON FUNCTION immich_indexer_2.names(owner uuid) IS '24b1d8876d354c3f9b03c0d00c8ce3b1cdef7b0e0902c67165f427cec647bf6c 47d3bd1c83f30c99b25e9f73c5fe82914446bb0d8d604d046010416686cbb30a';
CREATE FUNCTION immich_indexer_2.note_change(kind text, id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
BEGIN
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    SELECT note_change.kind, note_change.id, (CASE WHEN set_config('immich_indexer.noted',          (coalesce(nullif(current_setting('immich_indexer.noted', true), ''), '0')::integer + 1)::text, true)::integer > 20      THEN 15 ELSE 10 END)
    WHERE note_change.kind <> 'photo'
       OR EXISTS (SELECT FROM public.asset_file f WHERE f."assetId" = note_change.id AND f.type = 'preview')
       OR EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = note_change.id);
END
$$;
COMMENT ON FUNCTION immich_indexer_2.note_change(kind text, id uuid) IS '96f2c69e12652ad4746b318a766bf5cb632325aa08149a5dcac80d2ff98a6199 7c297751ea39ec90d7b131fccd653cebf3e68b0914c9ab6c3780f024fe9aa093';
CREATE FUNCTION immich_indexer_2.note_photo(asset uuid, whole boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
BEGIN
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    VALUES (asset, CASE WHEN whole THEN '{clip,ocr}'::text[] ELSE '{text}'::text[] END, 10);
    -- The notification has no content, and is not sent when the server's notification queue fills up: with a full queue a transaction
    -- that notifies fails at its commit.
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
END
$$;
COMMENT ON FUNCTION immich_indexer_2.note_photo(asset uuid, whole boolean) IS '553aea4de0ee53298a62f9693c5d0a62b02f2f7a78eca8ade2b266d24662dca3 d49e65f59e8c5e9afcbf8bc2a522666a043287a4516a864ed5f238579411cdcd';
CREATE FUNCTION immich_indexer_2.on_album_asset_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
DECLARE
    noted integer;
BEGIN
    INSERT INTO immich_indexer_2.change (kind, id, priority) SELECT 'photo', "assetId", 10 FROM new_rows LIMIT 20;
    GET DIAGNOSTICS noted = ROW_COUNT;
    IF noted = 20 THEN  -- there may be more, which wait behind new uploads
        INSERT INTO immich_indexer_2.change (kind, id, priority) SELECT 'photo', "assetId", 15 FROM new_rows OFFSET 20;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer_2.on_album_asset_write() IS '955c7dbac01b65b7cc8bad39edf1f976c410a1ef878d3f80fbd7a0e6f7e42628 c56bd6554535082b13dbf801e427bd59a46a59c9fe9c3361a2727ebcef2f8f7f';
CREATE FUNCTION immich_indexer_2.on_album_write() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    -- Mostly photos were added to it.
    IF (new."albumName", new."deletedAt") IS DISTINCT FROM (old."albumName", old."deletedAt") AND NOT (coalesce(current_setting('immich_indexer.missed', true) = 'on', false)) THEN
        PERFORM immich_indexer_2.note_change('album', new.id);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer_2.on_album_write() IS '2f631d4a325281864a76c0a46cd9621b30c38a176eb50c2f055d33d1d66d36fc d34ada147abc120c85ee8cfbab66383100e93842b96765004aa3f49d7591b35e';
CREATE FUNCTION immich_indexer_2.on_exif_write() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (new.description, new.city, new.state, new.country, new.make, new.model, new."lensModel")
            IS NOT DISTINCT FROM (old.description, old.city, old.state, old.country, old.make, old.model, old."lensModel")
       OR (coalesce(current_setting('immich_indexer.missed', true) = 'on', false)) THEN
        RETURN NULL;
    END IF;
    PERFORM immich_indexer_2.note_change('photo', new."assetId");
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer_2.on_exif_write() IS '9918b363f0af10e5d0b532cdcd9d9d2c6f8dc27e32795435be982f95cf57fee0 ac4559ef1a7d34aef28b8c36ef2e2abe64398764eb0f09bc9760d3f18c2b9320';
CREATE FUNCTION immich_indexer_2.on_face_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
DECLARE
    changed boolean;
BEGIN
    changed := TG_OP = 'UPDATE' AND (new."deletedAt", new."isVisible") IS DISTINCT FROM (old."deletedAt", old."isVisible");
    IF TG_OP = 'DELETE' THEN
        new := old;
    END IF;
    IF to_regclass('public.person_group') IS NULL THEN
        changed := changed OR new."personId" IS DISTINCT FROM CASE TG_OP WHEN 'UPDATE' THEN old."personId" END;
    ELSE
        changed := changed OR new."personGroupId" IS DISTINCT FROM CASE TG_OP WHEN 'UPDATE' THEN old."personGroupId" END;
    END IF;
    IF NOT changed OR (coalesce(current_setting('immich_indexer.missed', true) = 'on', false)) THEN
        RETURN NULL;
    END IF;
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    VALUES ('photo', new."assetId", (CASE WHEN set_config('immich_indexer.noted',          (coalesce(nullif(current_setting('immich_indexer.noted', true), ''), '0')::integer + 1)::text, true)::integer > 20      THEN 15 ELSE 10 END));
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer_2.on_face_write() IS '415c878513481dc82f98b2a3f44b16912887ad98083c5de11c55d968f7104ba0 dbaaf0b0e8e269816c7cbca0271bc469a3331b7b0beb5fa3808ab376b5c088cd';
CREATE FUNCTION immich_indexer_2.on_person_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
BEGIN
    IF coalesce(new.name = old.name AND new."isHidden" = old."isHidden", new.name = '', old.name = '') OR (coalesce(current_setting('immich_indexer.missed', true) = 'on', false)) THEN
        RETURN NULL;
    END IF;
    IF to_regclass('public.person_group') IS NULL THEN
        INSERT INTO immich_indexer_2.change (kind, id, priority) VALUES ('person', coalesce(new.id, old.id), 10);
    ELSE
        INSERT INTO immich_indexer_2.change (kind, id, priority)
        VALUES ('person', coalesce(new."personGroupId", old."personGroupId"), 10);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer_2.on_person_write() IS 'f8527d0902da7d6dc50caa007bf199d1b5f1ec65db1f5ef815559ea595fe6784 8adce9204704d708a500eec438602a21a79ae7abc7a8b1a09466701f42c1a951';
CREATE FUNCTION immich_indexer_2.on_tag_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
BEGIN
    PERFORM set_config('immich_indexer.untagged', "assetId"::text, true) FROM old_rows LIMIT 1;
    IF FOUND THEN  -- a refresh of a photo without tags should not have to open our table
        INSERT INTO immich_indexer_2.change (kind, id, priority) SELECT 'photo', "assetId", 15 FROM old_rows;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer_2.on_tag_delete() IS '656d5142b4f96b22644fbee3d28b7e23f6d6dfea8a94adc256adad83bcd442e8 37d021a17e0250ea2a0524b43e5249a040e0c027aaca62333ab907df3f4fc84b';
CREATE FUNCTION immich_indexer_2.on_tag_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF new.value IS DISTINCT FROM old.value AND NOT (coalesce(current_setting('immich_indexer.missed', true) = 'on', false)) THEN
        PERFORM immich_indexer_2.note_change('tag', new.id);
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here, and it waits for us once, not for each row.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    PERFORM set_config('immich_indexer.missed', 'on', true);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer_2.on_tag_update() IS '468fef2438d7a48aa7fa3d242f64bcf577701a88e97641b62114aa6697ad8c58 b2d1d8c11171e385e0c1b6356f6a912b69c1686ac87c73a1b56eb57e9396a2ec';
CREATE FUNCTION immich_indexer_2.people(assets uuid[]) RETURNS TABLE(asset_id uuid, names jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
COMMENT ON FUNCTION immich_indexer_2.people(assets uuid[]) IS 'd44d75bdb53a921a1acb13c12560643ab825789f30383dcbded85517af4c7e05 893d92fe49ca14b973c7d5f6488daf41167a406b4dace1e3c5d15e7c7430cf67';
CREATE FUNCTION immich_indexer_2.photos_of(kind text, id uuid) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
COMMENT ON FUNCTION immich_indexer_2.photos_of(kind text, id uuid) IS '567a93b48ce0bdbe9498eed0c2a2419857bd0cf76bd5f1b4fc361c8f70d6a3f5 f9e03094b2e9ad312c96321e8de0de52c76718ecf7abaab94b63c30a675daf7d';
CREATE FUNCTION immich_indexer_2.used(owner uuid, kind text, id uuid, archived boolean) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
                   WHERE a.id = photo AND a."ownerId" = used.owner AND (a."deletedAt" IS NULL AND a.status = 'active')
                     AND (a.visibility = 'timeline' OR used.archived AND a.visibility = 'archive')) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;
COMMENT ON FUNCTION immich_indexer_2.used(owner uuid, kind text, id uuid, archived boolean) IS '4bed5abc3caf5a7350db431bc3deade59deff28136fa89850f9985667ba37b2c 86ab01df57da9ddbe29f2c3f39bcb2ffb2a4f517a5041dcd68fd3d5385676c05';
CREATE TABLE immich_indexer.heard (
    message text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE immich_indexer.inbox (
    asset_id uuid NOT NULL,
    tasks text[] NOT NULL,
    priority smallint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='10000', autovacuum_vacuum_cost_delay='0');
CREATE TABLE immich_indexer.job (
    asset_id uuid NOT NULL,
    tasks text[] NOT NULL,
    running text[] DEFAULT '{}'::text[] NOT NULL,
    priority smallint NOT NULL,
    generation bigint DEFAULT 1 NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    not_before timestamp with time zone DEFAULT now() NOT NULL,
    worker uuid,
    failed_at timestamp with time zone,
    error text,
    dead boolean DEFAULT false NOT NULL,
    deaths smallint DEFAULT 0 NOT NULL
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_scale_factor='0', autovacuum_analyze_threshold='5000');
CREATE TABLE immich_indexer.migration (
    version integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE immich_indexer.photo (
    asset_id uuid NOT NULL,
    preview_updated_at timestamp with time zone,
    digest bytea,
    clip_model text,
    clip public.halfvec,
    ocr_model text,
    lines jsonb,
    text text DEFAULT ''::text NOT NULL,
    document tsvector DEFAULT ''::tsvector NOT NULL,
    overflow text,
    taken_at timestamp with time zone,
    tokens_version smallint DEFAULT 0 NOT NULL,
    vector_hash uuid,
    vector_version smallint DEFAULT 0 NOT NULL,
    indexed_at timestamp with time zone DEFAULT now(),
    text_size integer,
    facts_hash uuid,
    facts_version smallint DEFAULT 0 NOT NULL,
    long_facts jsonb
);
ALTER TABLE ONLY immich_indexer.photo ALTER COLUMN document SET STORAGE MAIN;
CREATE TABLE immich_indexer.state (
    key text NOT NULL,
    value jsonb NOT NULL
);
CREATE TABLE immich_indexer.tagged (
    asset_id uuid NOT NULL,
    tag_id uuid NOT NULL
);
CREATE TABLE immich_indexer.worker (
    id uuid NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    device text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    photos bigint DEFAULT 0 NOT NULL,
    photos_per_minute real DEFAULT 0 NOT NULL,
    polling boolean DEFAULT false NOT NULL,
    clip_model text
)
WITH (fillfactor='50');
CREATE TABLE immich_indexer_2.change (
    kind text NOT NULL,
    id uuid NOT NULL,
    priority smallint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='10000', autovacuum_vacuum_cost_delay='0');
CREATE TABLE immich_indexer_2.pair (
    first text NOT NULL COLLATE pg_catalog."C",
    followers text NOT NULL
)
WITH (fillfactor='60', autovacuum_vacuum_scale_factor='0.1', autovacuum_vacuum_cost_delay='0');
CREATE TABLE immich_indexer_2.pinyin (
    lexeme text NOT NULL COLLATE pg_catalog."C",
    sounds text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE immich_indexer_2.place (
    word text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE immich_indexer_3.model (
    name text NOT NULL,
    setting text,
    dimensions integer,
    state text NOT NULL,
    held boolean DEFAULT false NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT model_state_check CHECK ((state = ANY (ARRAY['current'::text, 'next'::text, 'previous'::text, 'idle'::text])))
);
CREATE TABLE immich_indexer_3.trial (
    made_at timestamp with time zone NOT NULL,
    current text NOT NULL,
    tried text NOT NULL,
    setting text NOT NULL,
    figures jsonb NOT NULL
);
CREATE TABLE immich_indexer_3.trial_photo (
    asset_id uuid NOT NULL,
    current public.halfvec NOT NULL,
    tried public.halfvec NOT NULL
);
CREATE TABLE immich_indexer_3.vector (
    model text NOT NULL,
    asset_id uuid NOT NULL,
    digest bytea,
    embedding public.halfvec,
    hash uuid
);
INSERT INTO immich_indexer.inbox VALUES ('a6404382-95ea-4c7e-bb82-aecb8d4d4afd', '{ocr!}', 0);
INSERT INTO immich_indexer.job VALUES ('48e97d6c-5f84-4e6a-8896-1b3cacef06aa', '{clip,ocr}', '{}', 10, 1, 1, '2026-11-30 12:13:26.141155+00', '2026-11-30 12:13:26.194792+00', NULL, '2026-11-30 12:13:26.144792+00', 'not a readable picture: it is no JPEG, PNG, WEBP, GIF or AVIF, or damaged at its beginning', true, 0);
INSERT INTO immich_indexer.migration VALUES (1, '0001_initial', '2026-11-30 12:13:25.920986+00');
INSERT INTO immich_indexer.migration VALUES (2, '0002_facts', '2026-11-30 12:13:25.932994+00');
INSERT INTO immich_indexer.migration VALUES (3, '0003_models', '2026-11-30 12:13:25.938437+00');
INSERT INTO immich_indexer.photo VALUES ('48e97d6c-5f84-4e6a-8896-1b3cacef06aa', NULL, NULL, NULL, NULL, NULL, NULL, '', ''' + 0'':6B '' + c'':26 '' + i'':2B,23 '' + j'':11B '' + s'':17 '' +0'':6B '' +00'':7B,8B '' +000'' '' +001'' '' +01'':9B '' +1'':9B '' +1 '':10B '' +a'':19 '' +a '':32 '' +am'':28 '' +ame'' '' +an'':20 '' +and'' '' +c'':26 '' +ca'':27 '' +cam'' '' +d'':21 '' +d '':22 '' +e'':29 '' +er'':30 '' +era'' '' +g'':4B '' +g '':5B,14B '' +i'':2B,23 '' +im'':3B '' +img'' '' +in'':24 '' +j'':11B '' +jp'':12B '' +jpg'' '' +m'':3B,28 '' +me'':29 '' +mer'' '' +mg'':4B '' +n'':20 '' +n '':25 '' +nd'':21 '' +p'':12B '' +pg'':13B '' +r'':30 '' +ra'':31 '' +s'':17 '' +st'':18 '' +sta'' '' +t'':18 '' +ta'':19 '' +tan'' '' 2048/10'' '' 256/81'' '' 32/649'' '' :image'' '' =11月'' '' =11月30日'' '' =2026'' '' =2026 11'' '' =2026 11 30'' '' =20261130'' '' =2026年'' '' =2026年11月'' '' =2026年11月30日'' '' =november'' '' =november 2026'' '' =november 30'' '' =十一月'' '' oea14254b''', NULL, '2026-11-30 12:13:26.132822+00', 0, NULL, 0, NULL, 0, '2e709b19-d0a7-5ab5-5999-c7aa253f52a7', 1, NULL);
INSERT INTO immich_indexer.photo VALUES ('a6404382-95ea-4c7e-bb82-aecb8d4d4afd', '2026-11-30 12:13:26.081549+00', '\xa370bb7c70935e2798611a70e3336ddf2e3aa5deb632d06e262347984c81e078', 'stub clip', '[0.07470703,-0.025405884,-0.038879395,0.018554688,0.0793457,-0.03149414,-0.041137695,-0.020126343,0.1038208,-0.05480957,-0.0010404587,0.026367188,-0.044891357,-0.01222229,-0.054473877,-0.044647217,0.05114746,0.025405884,-0.0008735657,-0.058807373,-0.0057792664,-0.0859375,0.04949951,0.068481445,-0.03036499,-0.03878784,-0.026535034,-0.011779785,-0.020935059,0.05001831,-0.002746582,-0.022735596,0.01285553,-0.06982422,0.08239746,-0.0146102905,-0.035461426,-0.0635376,-0.011604309,-0.09399414,-0.012527466,-0.043518066,-0.0037498474,0.076049805,0.012138367,-0.008476257,0.010017395,-0.08892822,0.053710938,0.0151901245,0.01977539,0.05645752,0.06915283,-0.0317688,0.04925537,0.051086426,-0.0072364807,-0.06506348,0.052215576,-0.03616333,0.034729004,-0.08001709,0.07086182,-0.060577393,-0.09301758,0.011413574,0.015960693,0.0027694702,-0.005672455,0.00012886524,0.028396606,-0.015380859,-0.053985596,0.028060913,0.05545044,-0.048431396,-0.019546509,0.031829834,-0.0680542,0.019226074,0.053009033,0.0033187866,-0.0052986145,0.030441284,-0.03652954,0.07244873,0.03866577,-0.042175293,0.003255844,0.06512451,-0.0028133392,0.0036964417,-0.054992676,-0.075927734,0.0395813,-0.019180298,-0.05029297,-0.034973145,-0.0005683899,0.021392822,-0.004016876,0.0061569214,0.029464722,0.100097656,0.05819702,-0.020141602,0.028457642,-0.026824951,0.04748535,0.039855957,0.010032654,-0.0049057007,-0.018066406,0.02960205,-0.007286072,0.080078125,-0.015640259,-0.025802612,-0.029586792,0.05734253,-0.05557251,0.026748657,0.035339355,-0.020980835,-0.03878784,0.08721924,0.03967285,-0.0028533936,0.005908966,0.034698486,0.008155823,-0.012672424,0.05596924,-0.036132812,0.048095703,-0.045135498,0.03475952,0.09051514,0.09020996,0.05899048,-0.01449585,-0.00055742264,-0.061523438,0.055999756,0.06414795,0.052825928,0.07635498,0.050109863,0.03353882,0.02357483,-0.026428223,-0.027893066,0.002828598,0.014846802,0.04147339,-0.02671814,-0.008415222,-0.035858154,0.048828125,-0.059448242,-0.0071754456,-0.05947876,-0.04333496,6.0796738e-06,0.018066406,0.02458191,-0.022506714,0.06878662,-0.03427124,0.016921997,-0.0025691986,-0.007286072,-0.034454346,-0.03074646,0.023254395,0.044769287,-0.038238525,0.010604858,-0.030578613,-0.08483887,-0.097351074,-0.011993408,0.06201172,-0.023086548,0.03152466,0.013999939,0.024154663,0.049804688,0.0149383545,0.029251099,-0.08935547,0.0748291,-0.0637207,-0.11968994,0.03060913,0.0770874,0.07305908,0.038146973,-0.042053223,-0.040527344,-0.03778076,-0.05810547,0.026931763,0.030456543,-0.010063171,-0.085510254,-0.011772156,0.0063171387,-0.016174316,0.000603199,-0.01928711,0.072021484,-0.041168213,0.0021648407,-0.032928467,0.05215454,0.014038086,-0.016616821,-0.019729614,-0.083984375,0.007583618,0.03302002,-0.0099105835,-0.031341553,0.030456543,0.0059013367,0.0052375793,-0.0073661804,0.008773804,-0.038391113,-0.015838623,0.022521973,-0.014915466,0.04751587,0.043182373,0.07348633,-0.044799805,0.08428955,0.009498596,-0.08270264,-0.013961792,-0.025497437,0.064941406,0.059173584,0.03744507,0.06921387,-0.049560547,0.026123047,0.077941895,0.013679504,-0.016448975,0.012931824,-0.02017212,0.020095825,0.027069092,-0.036010742,0.09979248,-0.024505615,-0.024841309,0.0071525574,0.010604858,0.005882263,-0.053771973,-0.009269714,-0.015579224,-0.058929443,-0.039764404,-0.113098145,0.008712769,0.014953613,0.0690918,-0.008903503,-0.04168701,0.014732361,0.049072266,-0.007621765,0.07421875,-0.025238037,-0.013664246,0.05444336,0.0069999695,-0.032592773,-0.040374756,0.036712646,0.06573486,0.026275635,-0.023971558,-0.05899048,0.023651123,-0.05706787,-0.035247803,0.017684937,-0.036071777,-0.02861023,0.028533936,-0.037109375,0.015670776,-0.090148926,0.057617188,0.04660034,-0.026138306,0.060699463,-0.019821167,-0.04046631,-0.00756073,-0.05206299,0.042053223,-0.04989624,0.005077362,-0.02809143,-0.042236328,-0.050231934,-0.03111267,-0.055725098,-0.055725098,-0.061676025,0.029693604,0.00409317,-0.016159058,-0.048187256,-0.025390625,-0.0037441254,0.00017797947,-0.016967773,0.011390686,0.0054626465,-0.005191803,0.016113281,-0.040527344,-0.028671265,-0.0013408661,-0.01448822,0.043395996,0.030441284,0.044769287,0.011878967,-0.011993408,0.09454346,0.054656982,0.049346924,0.058135986,-0.009170532,0.034210205,0.09387207,-0.013313293,-0.008010864,-0.019317627,-0.058166504,0.019714355,0.026229858,0.07684326,0.00484848,0.041809082,-0.014137268,-0.013389587,-0.00699234,-0.0006017685,0.09716797,-0.092041016,0.06463623,0.05886841,-0.04559326,0.062286377,0.09094238,-0.0021400452,0.06561279,0.04876709,-0.018508911,0.007003784,-0.010826111,-0.08831787,0.070495605,-0.043670654,-0.030044556,-0.0073013306,0.016540527,0.02973938,-0.07348633,0.02796936,0.027023315,-0.041381836,-0.0914917,0.12109375,0.065979004,-0.048858643,0.11608887,0.05899048,0.058166504,-0.054595947,0.016998291,-0.029846191,-0.054595947,-0.013130188,-0.056243896,-0.064086914,0.020187378,-0.0067443848,0.06124878,-0.05908203,-0.041809082,-0.016296387,0.08355713,-0.009857178,-0.027755737,-0.05987549,0.0413208,0.032958984,-0.04336548,0.039611816,-0.084228516,0.019973755,-0.0050086975,0.034332275,0.05279541,0.051879883,0.014091492,-0.041381836,-0.031433105,0.033569336,-0.064819336,0.019592285,0.045654297,0.009536743,-0.016586304,0.006340027,-0.011222839,-0.022857666,-0.030700684,-0.033996582,-0.03277588,-0.039978027,0.05218506,-0.0569458,0.030288696,0.03491211,-0.0368042,0.0491333,0.050811768,0.019378662,0.016220093,0.031051636,-0.00522995,0.032562256,-0.021835327,-0.0016050339,0.013999939,0.06222534,0.018875122,0.03277588,0.044921875,0.0023651123,0.042541504,-0.043121338,0.013938904,-0.0051994324,-0.06976318,0.006679535,-0.042907715,-0.02279663,-0.002243042,-0.022720337,0.089416504,-0.049224854,0.020721436,-0.06591797,-0.010139465,-0.01626587,-0.018539429,0.018829346,-0.04852295,-0.019180298,0.022583008,-0.00050258636,-0.015403748,-0.07537842,0.06854248,0.012924194,0.013557434,-0.0748291,0.09967041,0.042114258,-0.05215454,0.04043579,0.01424408,-0.053741455,0.046295166,0.04647827,-0.008773804,-0.006603241,0.007835388,-0.005607605,0.024658203,-0.01550293,0.030929565,6.818771e-05,-0.011161804,0.05822754,-0.030288696,0.0021858215,-0.007926941,-0.05505371,0.007926941,-0.07775879,-0.031158447,-0.025512695,-0.020874023,0.0033779144,-0.0018148422,-3.916025e-05,0.015617371,0.038391113,0.06161499]', 'stub ocr', '[{"box": [0.1, 0.1, 0.9, 0.1, 0.9, 0.15, 0.1, 0.15], "text": "编号 3aefaabcd4b6", "visible": true, "boxScore": 0.9, "textScore": 0.95}]', '编号 3aefaabcd4b6', ''' + 0'':6B '' + c'':26 '' + i'':2B,23 '' + j'':11B '' + s'':17 '' +0'':6B '' +00'':7B,8B '' +000'' '' +001'' '' +01'':9B '' +1'':9B '' +1 '':10B '' +a'':19 '' +a '':32 '' +am'':28 '' +ame'' '' +an'':20 '' +and'' '' +c'':26 '' +ca'':27 '' +cam'' '' +d'':21 '' +d '':22 '' +e'':29 '' +er'':30 '' +era'' '' +g'':4B '' +g '':5B,14B '' +i'':2B,23 '' +im'':3B '' +img'' '' +in'':24 '' +j'':11B '' +jp'':12B '' +jpg'' '' +m'':3B,28 '' +me'':29 '' +mer'' '' +mg'':4B '' +n'':20 '' +n '':25 '' +nd'':21 '' +p'':12B '' +pg'':13B '' +r'':30 '' +ra'':31 '' +s'':17 '' +st'':18 '' +sta'' '' +t'':18 '' +ta'':19 '' +tan'' '' 2048/10'' '' 256/81'' '' 32/649'' '' :image'' '' =11月'' '' =11月30日'' '' =2026'' '' =2026 11'' '' =2026 11 30'' '' =20261130'' '' =2026年'' '' =2026年11月'' '' =2026年11月30日'' '' =november'' '' =november 2026'' '' =november 30'' '' =十一月'' '' oea14254b'' '' 编'':1A ''3'' ''3a'':4A ''3ae'' ''3aefaabcd4b6'':16 ''4'' ''4b'':13A ''4b6'' ''6'' ''6 '':15A ''a'' ''aa'':8A ''aab'' ''ab'':9A ''abc'' ''ae'':5A ''aef'' ''b'' ''b6'':14A ''bc'':10A ''bcd'' ''c'' ''cd'':11A ''cd4'' ''d'' ''d4'':12A ''d4b'' ''e'' ''ef'':6A ''efa'' ''f'' ''fa'':7A ''faa'' ''号'' ''号3'':3A ''编'' ''编号'':2A', NULL, '2026-11-30 12:13:26.071462+00', 4, 'f79fa77c-3c60-0e49-8236-d6b0a05b7121', 5, '2026-11-30 12:13:26.109206+00', 41, '36831444-5b75-04f8-2cfe-8af05b9e486a', 1, NULL);
INSERT INTO immich_indexer.state VALUES ('database_settings', '{"hnsw.ef_search": "1000", "hnsw.iterative_scan": "strict_order"}');
INSERT INTO immich_indexer.state VALUES ('judged', '1');
INSERT INTO immich_indexer.state VALUES ('weights', '{"8f8f7999-1f6c-4a28-9bf5-cf316eaf933c": []}');
INSERT INTO immich_indexer.state VALUES ('pinyin', '2');
INSERT INTO immich_indexer_2.pair VALUES ('编', '号');
INSERT INTO immich_indexer_3.model VALUES ('stub clip', 'ViT-B-16', 512, 'current', false, '2026-11-30 12:13:26.000011+00');
ALTER TABLE ONLY immich_indexer.heard
    ADD CONSTRAINT heard_pkey PRIMARY KEY (message);
ALTER TABLE ONLY immich_indexer.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (asset_id);
ALTER TABLE ONLY immich_indexer.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (version);
ALTER TABLE ONLY immich_indexer.photo
    ADD CONSTRAINT photo_pkey PRIMARY KEY (asset_id);
ALTER TABLE ONLY immich_indexer.state
    ADD CONSTRAINT state_pkey PRIMARY KEY (key);
ALTER TABLE ONLY immich_indexer.tagged
    ADD CONSTRAINT tagged_pkey PRIMARY KEY (asset_id, tag_id);
ALTER TABLE ONLY immich_indexer.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (id);
ALTER TABLE ONLY immich_indexer_2.pinyin
    ADD CONSTRAINT pinyin_pkey PRIMARY KEY (lexeme);
ALTER TABLE ONLY immich_indexer_2.place
    ADD CONSTRAINT place_pkey PRIMARY KEY (word);
ALTER TABLE ONLY immich_indexer_3.model
    ADD CONSTRAINT model_pkey PRIMARY KEY (name);
ALTER TABLE ONLY immich_indexer_3.trial_photo
    ADD CONSTRAINT trial_photo_pkey PRIMARY KEY (asset_id);
ALTER TABLE ONLY immich_indexer_3.trial
    ADD CONSTRAINT trial_pkey PRIMARY KEY (made_at);
ALTER TABLE ONLY immich_indexer_3.vector
    ADD CONSTRAINT vector_pkey PRIMARY KEY (model, asset_id);
CREATE INDEX job_dead ON immich_indexer.job USING btree (failed_at) WHERE dead;
CREATE INDEX job_held ON immich_indexer.job USING btree (worker) WHERE (worker IS NOT NULL);
CREATE INDEX job_ready ON immich_indexer.job USING btree (priority, not_before) WHERE ((worker IS NULL) AND (NOT dead));
CREATE INDEX photo_digest ON immich_indexer.photo USING btree (digest);
CREATE INDEX photo_document ON immich_indexer.photo USING gin (document) WITH (fastupdate=off);
CREATE INDEX photo_indexed_at ON immich_indexer.photo USING btree (indexed_at);
CREATE INDEX change_priority ON immich_indexer_2.change USING btree (priority);
CREATE INDEX pair_first ON immich_indexer_2.pair USING btree (first);
CREATE INDEX pinyin_sounds ON immich_indexer_2.pinyin USING gin (string_to_array(sounds, ','::text)) WITH (fastupdate=off);
CREATE UNIQUE INDEX model_state ON immich_indexer_3.model USING btree (state) WHERE (state <> 'idle'::text);
CREATE INDEX vector_asset ON immich_indexer_3.vector USING btree (asset_id);
