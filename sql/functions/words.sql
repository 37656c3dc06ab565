-- The Chinese words in a query. A photo with any of them ranks higher. They come from zhparser, where this server has it. Otherwise
-- there are none. The settings are the same as in document.sql.
CREATE OR REPLACE FUNCTION immich_indexer.words(content text) RETURNS tsquery
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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
