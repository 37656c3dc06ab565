-- The full-text document of a photo. The n-grams that Python made (indexer/text/tokens.py) find every literal piece of the text. Their
-- weights are A to C. Where this server has zhparser, its words are added with weight D, for ranking. The settings are the same as
-- in words.sql, whatever those of the session are.
CREATE OR REPLACE FUNCTION immich_indexer.document(content text, ngrams text) RETURNS tsvector
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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
