-- The Chinese text-search configuration. It has a schema of its own (README.md, rule 1), because a server may get zhparser later. The
-- extension is in that schema, too, unless it already exists elsewhere: uninstall drops the schema with everything in it.
CREATE SCHEMA IF NOT EXISTS immich_indexer_zhparser;
CREATE EXTENSION IF NOT EXISTS zhparser SCHEMA immich_indexer_zhparser;

DO $$
DECLARE
    parser  record;
    types   text;
BEGIN
    SELECT p.oid, quote_ident(n.nspname) AS schema INTO STRICT parser
    FROM pg_ts_parser p JOIN pg_namespace n ON n.oid = p.prsnamespace WHERE p.prsname = 'zhparser';
    -- Map every token type: words of an unmapped type would be lost from documents and queries without an error.
    SELECT string_agg(quote_ident(alias), ', ') INTO types FROM ts_token_type(parser.oid);
    EXECUTE format('CREATE TEXT SEARCH CONFIGURATION immich_indexer_zhparser.words (PARSER = %s.zhparser)', parser.schema);
    EXECUTE format('ALTER TEXT SEARCH CONFIGURATION immich_indexer_zhparser.words ADD MAPPING FOR %s WITH simple', types);
END
$$;

-- The reconciler will make all documents again.
UPDATE immich_indexer.photo SET tokens_version = 0 WHERE tokens_version <> 0;
