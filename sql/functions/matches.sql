-- Whether a photo fulfils conditions (indexer/text/question.py), for the few whose document cannot hold all positions of their text or
-- of their facts: a phrase is then looked for in the text or in the values; of what is said in pinyin, a pattern. It must fulfil
-- one of the sets of conditions, and none that is marked as absent.
CREATE OR REPLACE FUNCTION immich_indexer_2.matches(document tsvector, overflow text, facts jsonb, conditions jsonb) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
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
