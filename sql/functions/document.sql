-- The full-text document of a photo: the n-grams that Python made (indexer/text/tokens.py), which find every literal piece
-- of the text, weight A; and zhparser's words, where this server has zhparser, weight D, for ranking.
CREATE OR REPLACE FUNCTION immich_indexer.document(content text, ngrams text) RETURNS tsvector
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_ts_config
               WHERE cfgname = 'words' AND cfgnamespace = to_regnamespace('immich_indexer_zhparser')) THEN
        RETURN setweight(ngrams::tsvector, 'A') || setweight(to_tsvector('immich_indexer_zhparser.words', content), 'D');
    END IF;
    RETURN setweight(ngrams::tsvector, 'A');
END
$$;
