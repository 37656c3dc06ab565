-- Asked by indexer/photos/pinyin.py.

-- name: learn
-- Adds the pairs in the documents of the photos $1 that the table does not have: to a row of less than $2 followers, else as a row of their
-- own. A row that somebody else is adding to is left to them, so nobody waits. Returns the lexemes of names, and the longer words, that the
-- other table does not have.
WITH word AS MATERIALIZED (
    SELECT DISTINCT lexeme, length(lexeme) - CASE WHEN lexeme LIKE ' %' THEN 2 ELSE 0 END AS characters, lexeme LIKE ' -%' AS named
    FROM immich_indexer.photo p CROSS JOIN LATERAL unnest(tsvector_to_array(p.document)) AS word (lexeme)
    WHERE p.asset_id = ANY ($1::uuid[]) AND octet_length(word.lexeme) > 4 AND word.lexeme ~ '^( [-+])?[〇㐀-鿿𠀀-𲎯]+$'
), known AS (
    SELECT left(lexeme, -1) COLLATE "C" AS first, right(lexeme, 1) AS follower FROM word WHERE characters = 2 AND NOT named
), new AS MATERIALIZED (
    SELECT first, string_agg(follower, '') AS followers FROM known
    WHERE NOT EXISTS (SELECT FROM immich_indexer_2.pair k WHERE k.first = known.first AND position(follower IN k.followers) > 0)
    GROUP BY first
), longer AS (
    UPDATE immich_indexer_2.pair k SET followers = k.followers || new.followers
    FROM new CROSS JOIN LATERAL (
        SELECT r.ctid AS place FROM immich_indexer_2.pair r WHERE r.first = new.first AND length(r.followers) < $2::integer
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS room
    WHERE k.first = new.first AND k.ctid = room.place
    RETURNING k.first
), added AS (
    INSERT INTO immich_indexer_2.pair (first, followers)
    SELECT first, followers FROM new WHERE first NOT IN (SELECT first FROM longer)
)
SELECT lexeme FROM word
WHERE (named OR characters > 2 AND lexeme NOT LIKE ' %')
  AND NOT EXISTS (SELECT FROM immich_indexer_2.pinyin k WHERE k.lexeme = word.lexeme);

-- name: add
-- All insert in the same order, so who adds the same ones waits at most, and not in a circle.
INSERT INTO immich_indexer_2.pinyin (lexeme, sounds)
SELECT lexeme, sounds FROM unnest($1::text[], $2::text[]) AS new (lexeme, sounds)
ORDER BY lexeme COLLATE "C" ON CONFLICT DO NOTHING;

-- name: followers
-- What follows the characters $1. OFFSET 0: each is looked up by itself. With many the planner would read the whole table.
SELECT k.first, k.followers
FROM unnest($1::text[]) AS wanted (first)
CROSS JOIN LATERAL (SELECT k.* FROM immich_indexer_2.pair k WHERE k.first = wanted.first OFFSET 0) AS k;

-- name: heard
-- The lexemes that have one of the sounds $1.
SELECT lexeme, sounds FROM immich_indexer_2.pinyin WHERE string_to_array(sounds, ',') && $1::text[];

-- name: version
SELECT value::integer FROM immich_indexer.state WHERE key = 'pinyin';

-- name: clear
WITH pairs AS (DELETE FROM immich_indexer_2.pair)
DELETE FROM immich_indexer_2.pinyin;

-- name: page
-- The $2 photos after $1, in the order of their ids.
SELECT asset_id FROM immich_indexer.photo WHERE asset_id > $1 ORDER BY asset_id LIMIT $2;

-- name: done
INSERT INTO immich_indexer.state (key, value) VALUES ('pinyin', to_jsonb($1::integer))
ON CONFLICT (key) DO UPDATE SET value = excluded.value;
