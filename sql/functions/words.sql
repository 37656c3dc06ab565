-- The Chinese words that a person typed, as any of which ranks higher: zhparser's, where this server has zhparser, and nothing
-- otherwise. The settings are the same as in document.sql.
CREATE OR REPLACE FUNCTION immich_indexer.words(content text) RETURNS tsquery
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_ts_config
               WHERE cfgname = 'words' AND cfgnamespace = to_regnamespace('immich_indexer_zhparser')) THEN
        -- Here and not with the function: a setting of a library that is not loaded is a superuser's to declare.
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
