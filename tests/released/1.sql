CREATE SCHEMA immich_indexer;
COMMENT ON SCHEMA immich_indexer IS 'immich-indexer: safe to drop with `immich-indexer uninstall`';
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
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
BEGIN
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT n.id, CASE WHEN o.eligible THEN '{text}' ELSE '{clip,ocr}' END::text[], 10
    FROM new_rows n
    JOIN (SELECT old_rows.*, (old_rows."deletedAt" IS NULL AND old_rows.status = 'active' AND old_rows.visibility <> 'hidden' AND NOT old_rows."isOffline") AS eligible
          FROM old_rows) AS o ON o.id = n.id
    WHERE (n."deletedAt" IS NULL AND n.status = 'active' AND n.visibility <> 'hidden' AND NOT n."isOffline")
      AND (NOT o.eligible OR n."isEdited" <> o."isEdited");
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
COMMENT ON FUNCTION immich_indexer.on_asset_update() IS 'eefad40c0497186a757473bc0b20698de731657b476d44b91cd77aa3e90ebaa1 d809af84bd1770e31d106bc546ffe6af431f4ea1e021d7a924bccd64e7920620';
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
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
BEGIN
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT "assetId", CASE WHEN "isEdited" THEN '{text}'::text[] ELSE '{clip,ocr}'::text[] END, 10
    FROM new_rows WHERE type = 'preview';
    -- The notification has no content, and is not sent when the server's notification queue fills up: with a full queue a transaction
    -- that notifies fails at its commit.
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
COMMENT ON FUNCTION immich_indexer.on_preview_write() IS '1875f665636f74ea7d80a350aee7393faf902af84cf85b3f92ff7352f70e9124 b284f9b3f071c70ab402a07b65115f5be784275e13a0e9ee5c7357b6346461b5';
CREATE FUNCTION immich_indexer.on_tag_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '100ms'
    AS $$
DECLARE
    gone jsonb := coalesce(nullif(current_setting('immich_indexer.untagged', true), ''), '{}');
    back bigint;
BEGIN
    IF TG_OP = 'DELETE' THEN
        SELECT gone || jsonb_object_agg(n."assetId" || ':' || n."tagId", '') INTO gone
        FROM new_rows n JOIN public.tag t ON t.id = n."tagId"
        WHERE lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip');
        IF gone IS NOT NULL THEN
            PERFORM set_config('immich_indexer.untagged', gone::text, true);
        END IF;
        RETURN NULL;
    END IF;
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority, tag_id)
    SELECT n."assetId",
        CASE lower(t.value) WHEN 'reindex/ocr' THEN '{ocr!}' WHEN 'reindex/clip' THEN '{clip!}' ELSE '{clip!,ocr!}' END::text[],
        CASE WHEN count(*) OVER () > 20 THEN 15 ELSE 0 END,
        n."tagId"
    FROM new_rows n JOIN public.tag t ON t.id = n."tagId"
    WHERE lower(t.value) IN ('reindex', 'reindex/ocr', 'reindex/clip')
      AND NOT gone ? (n."assetId" || ':' || n."tagId");
    IF FOUND AND pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify('immich_indexer', '');
    END IF;
    IF gone <> '{}' THEN
        SELECT count(*) INTO back FROM new_rows n WHERE gone ? (n."assetId" || ':' || n."tagId");
        IF back = (SELECT count(*) FROM jsonb_object_keys(gone)) THEN  -- otherwise it would grow with each photo of the transaction
            PERFORM set_config('immich_indexer.untagged', '', true);
        END IF;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- Immich's own write is more important than ours. The reconciler finds what is missed here.
    RAISE WARNING 'immich-indexer: %', SQLERRM;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION immich_indexer.on_tag_write() IS '68004cd3e210558f87f7e3efc164e154b10331933943ec2acf29b32c4d53e4a0 1cf1820021f1bb1bb81af3edef668bd3bd838eed90ba667f2d87f08d4fd44b53';
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
    WHERE a.id = ANY (asset_ids) AND (a."deletedAt" IS NULL AND a.status = 'active' AND a.visibility <> 'hidden' AND NOT a."isOffline") AND EXISTS (
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
COMMENT ON FUNCTION immich_indexer.reprocess_all(asset_ids uuid[], tasks text[]) IS 'a66bbbb208e53cdf90bc19041a613d44ad4683a15c3c27f778b16a443e76e45e 51d2de9eaffe60b48ff7058275b89510393c88782aad2b721feace920b41d3ff';
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
    preview_updated_at timestamp with time zone NOT NULL,
    digest bytea NOT NULL,
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
    indexed_at timestamp with time zone DEFAULT now() NOT NULL
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
    polling boolean DEFAULT false NOT NULL
)
WITH (fillfactor='50');
INSERT INTO immich_indexer.inbox VALUES ('e99da19e-4abb-47b4-9a54-1d66a2caa1d5', '{ocr!}', 0);
INSERT INTO immich_indexer.job VALUES ('cb09bed7-7655-4bda-a2cc-7c2163bfbc2d', '{clip,ocr}', '{}', 10, 1, 1, '2026-11-29 06:52:08.843052+00', '2026-11-29 06:52:08.960548+00', NULL, '2026-11-29 06:52:08.910548+00', 'not a readable picture: it is no JPEG, PNG, WEBP, GIF or AVIF, or damaged at its beginning', true, 0);
INSERT INTO immich_indexer.migration VALUES (1, '0001_initial', '2026-11-29 06:52:07.777131+00');
INSERT INTO immich_indexer.photo VALUES ('e99da19e-4abb-47b4-9a54-1d66a2caa1d5', '2026-11-29 06:52:08.498564+00', '\xa370bb7c70935e2798611a70e3336ddf2e3aa5deb632d06e262347984c81e078', 'stub clip', '[0.07470703,-0.025405884,-0.038879395,0.018554688,0.0793457,-0.03149414,-0.041137695,-0.020126343,0.1038208,-0.05480957,-0.0010404587,0.026367188,-0.044891357,-0.01222229,-0.054473877,-0.044647217,0.05114746,0.025405884,-0.0008735657,-0.058807373,-0.0057792664,-0.0859375,0.04949951,0.068481445,-0.03036499,-0.03878784,-0.026535034,-0.011779785,-0.020935059,0.05001831,-0.002746582,-0.022735596,0.01285553,-0.06982422,0.08239746,-0.0146102905,-0.035461426,-0.0635376,-0.011604309,-0.09399414,-0.012527466,-0.043518066,-0.0037498474,0.076049805,0.012138367,-0.008476257,0.010017395,-0.08892822,0.053710938,0.0151901245,0.01977539,0.05645752,0.06915283,-0.0317688,0.04925537,0.051086426,-0.0072364807,-0.06506348,0.052215576,-0.03616333,0.034729004,-0.08001709,0.07086182,-0.060577393,-0.09301758,0.011413574,0.015960693,0.0027694702,-0.005672455,0.00012886524,0.028396606,-0.015380859,-0.053985596,0.028060913,0.05545044,-0.048431396,-0.019546509,0.031829834,-0.0680542,0.019226074,0.053009033,0.0033187866,-0.0052986145,0.030441284,-0.03652954,0.07244873,0.03866577,-0.042175293,0.003255844,0.06512451,-0.0028133392,0.0036964417,-0.054992676,-0.075927734,0.0395813,-0.019180298,-0.05029297,-0.034973145,-0.0005683899,0.021392822,-0.004016876,0.0061569214,0.029464722,0.100097656,0.05819702,-0.020141602,0.028457642,-0.026824951,0.04748535,0.039855957,0.010032654,-0.0049057007,-0.018066406,0.02960205,-0.007286072,0.080078125,-0.015640259,-0.025802612,-0.029586792,0.05734253,-0.05557251,0.026748657,0.035339355,-0.020980835,-0.03878784,0.08721924,0.03967285,-0.0028533936,0.005908966,0.034698486,0.008155823,-0.012672424,0.05596924,-0.036132812,0.048095703,-0.045135498,0.03475952,0.09051514,0.09020996,0.05899048,-0.01449585,-0.00055742264,-0.061523438,0.055999756,0.06414795,0.052825928,0.07635498,0.050109863,0.03353882,0.02357483,-0.026428223,-0.027893066,0.002828598,0.014846802,0.04147339,-0.02671814,-0.008415222,-0.035858154,0.048828125,-0.059448242,-0.0071754456,-0.05947876,-0.04333496,6.0796738e-06,0.018066406,0.02458191,-0.022506714,0.06878662,-0.03427124,0.016921997,-0.0025691986,-0.007286072,-0.034454346,-0.03074646,0.023254395,0.044769287,-0.038238525,0.010604858,-0.030578613,-0.08483887,-0.097351074,-0.011993408,0.06201172,-0.023086548,0.03152466,0.013999939,0.024154663,0.049804688,0.0149383545,0.029251099,-0.08935547,0.0748291,-0.0637207,-0.11968994,0.03060913,0.0770874,0.07305908,0.038146973,-0.042053223,-0.040527344,-0.03778076,-0.05810547,0.026931763,0.030456543,-0.010063171,-0.085510254,-0.011772156,0.0063171387,-0.016174316,0.000603199,-0.01928711,0.072021484,-0.041168213,0.0021648407,-0.032928467,0.05215454,0.014038086,-0.016616821,-0.019729614,-0.083984375,0.007583618,0.03302002,-0.0099105835,-0.031341553,0.030456543,0.0059013367,0.0052375793,-0.0073661804,0.008773804,-0.038391113,-0.015838623,0.022521973,-0.014915466,0.04751587,0.043182373,0.07348633,-0.044799805,0.08428955,0.009498596,-0.08270264,-0.013961792,-0.025497437,0.064941406,0.059173584,0.03744507,0.06921387,-0.049560547,0.026123047,0.077941895,0.013679504,-0.016448975,0.012931824,-0.02017212,0.020095825,0.027069092,-0.036010742,0.09979248,-0.024505615,-0.024841309,0.0071525574,0.010604858,0.005882263,-0.053771973,-0.009269714,-0.015579224,-0.058929443,-0.039764404,-0.113098145,0.008712769,0.014953613,0.0690918,-0.008903503,-0.04168701,0.014732361,0.049072266,-0.007621765,0.07421875,-0.025238037,-0.013664246,0.05444336,0.0069999695,-0.032592773,-0.040374756,0.036712646,0.06573486,0.026275635,-0.023971558,-0.05899048,0.023651123,-0.05706787,-0.035247803,0.017684937,-0.036071777,-0.02861023,0.028533936,-0.037109375,0.015670776,-0.090148926,0.057617188,0.04660034,-0.026138306,0.060699463,-0.019821167,-0.04046631,-0.00756073,-0.05206299,0.042053223,-0.04989624,0.005077362,-0.02809143,-0.042236328,-0.050231934,-0.03111267,-0.055725098,-0.055725098,-0.061676025,0.029693604,0.00409317,-0.016159058,-0.048187256,-0.025390625,-0.0037441254,0.00017797947,-0.016967773,0.011390686,0.0054626465,-0.005191803,0.016113281,-0.040527344,-0.028671265,-0.0013408661,-0.01448822,0.043395996,0.030441284,0.044769287,0.011878967,-0.011993408,0.09454346,0.054656982,0.049346924,0.058135986,-0.009170532,0.034210205,0.09387207,-0.013313293,-0.008010864,-0.019317627,-0.058166504,0.019714355,0.026229858,0.07684326,0.00484848,0.041809082,-0.014137268,-0.013389587,-0.00699234,-0.0006017685,0.09716797,-0.092041016,0.06463623,0.05886841,-0.04559326,0.062286377,0.09094238,-0.0021400452,0.06561279,0.04876709,-0.018508911,0.007003784,-0.010826111,-0.08831787,0.070495605,-0.043670654,-0.030044556,-0.0073013306,0.016540527,0.02973938,-0.07348633,0.02796936,0.027023315,-0.041381836,-0.0914917,0.12109375,0.065979004,-0.048858643,0.11608887,0.05899048,0.058166504,-0.054595947,0.016998291,-0.029846191,-0.054595947,-0.013130188,-0.056243896,-0.064086914,0.020187378,-0.0067443848,0.06124878,-0.05908203,-0.041809082,-0.016296387,0.08355713,-0.009857178,-0.027755737,-0.05987549,0.0413208,0.032958984,-0.04336548,0.039611816,-0.084228516,0.019973755,-0.0050086975,0.034332275,0.05279541,0.051879883,0.014091492,-0.041381836,-0.031433105,0.033569336,-0.064819336,0.019592285,0.045654297,0.009536743,-0.016586304,0.006340027,-0.011222839,-0.022857666,-0.030700684,-0.033996582,-0.03277588,-0.039978027,0.05218506,-0.0569458,0.030288696,0.03491211,-0.0368042,0.0491333,0.050811768,0.019378662,0.016220093,0.031051636,-0.00522995,0.032562256,-0.021835327,-0.0016050339,0.013999939,0.06222534,0.018875122,0.03277588,0.044921875,0.0023651123,0.042541504,-0.043121338,0.013938904,-0.0051994324,-0.06976318,0.006679535,-0.042907715,-0.02279663,-0.002243042,-0.022720337,0.089416504,-0.049224854,0.020721436,-0.06591797,-0.010139465,-0.01626587,-0.018539429,0.018829346,-0.04852295,-0.019180298,0.022583008,-0.00050258636,-0.015403748,-0.07537842,0.06854248,0.012924194,0.013557434,-0.0748291,0.09967041,0.042114258,-0.05215454,0.04043579,0.01424408,-0.053741455,0.046295166,0.04647827,-0.008773804,-0.006603241,0.007835388,-0.005607605,0.024658203,-0.01550293,0.030929565,6.818771e-05,-0.011161804,0.05822754,-0.030288696,0.0021858215,-0.007926941,-0.05505371,0.007926941,-0.07775879,-0.031158447,-0.025512695,-0.020874023,0.0033779144,-0.0018148422,-3.916025e-05,0.015617371,0.038391113,0.06161499]', 'stub ocr', '[{"box": [0.1, 0.1, 0.9, 0.1, 0.9, 0.15, 0.1, 0.15], "text": "编号 3aefaabcd4b6", "visible": true, "boxScore": 0.9, "textScore": 0.95}]', '编号 3aefaabcd4b6', ''' 2048/10'' '' 256/81'' '' 32/649'' '' ob68f7211'' '' 编'':1A ''3'' ''3a'':4A ''3ae'' ''3aefaabcd4b6'':16 ''4'' ''4b'':13A ''4b6'' ''6'' ''6 '':15A ''a'' ''aa'':8A ''aab'' ''ab'':9A ''abc'' ''ae'':5A ''aef'' ''b'' ''b6'':14A ''bc'':10A ''bcd'' ''c'' ''cd'':11A ''cd4'' ''d'' ''d4'':12A ''d4b'' ''e'' ''ef'':6A ''efa'' ''f'' ''fa'':7A ''faa'' ''号'' ''号3'':3A ''编'' ''编号'':2A', NULL, '2026-11-29 06:52:08.390283+00', 4, 'f79fa77c-3c60-0e49-8236-d6b0a05b7121', 3, '2026-11-29 06:52:08.754916+00');
INSERT INTO immich_indexer.state VALUES ('database_settings', '{"hnsw.ef_search": "1000", "hnsw.iterative_scan": "strict_order"}');
INSERT INTO immich_indexer.state VALUES ('judged', '1');
INSERT INTO immich_indexer.state VALUES ('weights', '{"c4712bd9-a771-434c-b28f-d883bc893bd0": []}');
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
CREATE INDEX job_dead ON immich_indexer.job USING btree (failed_at) WHERE dead;
CREATE INDEX job_held ON immich_indexer.job USING btree (worker) WHERE (worker IS NOT NULL);
CREATE INDEX job_ready ON immich_indexer.job USING btree (priority, not_before) WHERE ((worker IS NULL) AND (NOT dead));
CREATE INDEX photo_digest ON immich_indexer.photo USING btree (digest);
CREATE INDEX photo_document ON immich_indexer.photo USING gin (document) WITH (fastupdate=off);
CREATE INDEX photo_indexed_at ON immich_indexer.photo USING btree (indexed_at);
