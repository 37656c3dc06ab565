-- Asked by indexer/photos/pinyin.py.

-- name: unknown
-- The Chinese lexemes in the documents of the photos $1 that the table does not have: pairs and words, and of names each character.
SELECT DISTINCT word.lexeme
FROM immich_indexer.photo p CROSS JOIN LATERAL unnest(tsvector_to_array(p.document)) AS word (lexeme)
WHERE p.asset_id = ANY ($1::uuid[]) AND word.lexeme ~ '^( -[〇㐀-鿿𠀀-𲎯]+|( \+)?[〇㐀-鿿𠀀-𲎯]{2,})$'
  AND NOT EXISTS (SELECT FROM immich_indexer_2.pinyin k WHERE k.lexeme = word.lexeme);

-- name: add
-- All insert in the same order, so who adds the same ones waits at most, and not in a circle.
INSERT INTO immich_indexer_2.pinyin (lexeme, sounds)
SELECT lexeme, sounds FROM unnest($1::text[], $2::text[]) AS new (lexeme, sounds)
ORDER BY lexeme COLLATE "C" ON CONFLICT DO NOTHING;

-- name: heard
-- The lexemes that have one of the sounds $1.
SELECT lexeme, sounds FROM immich_indexer_2.pinyin WHERE string_to_array(sounds, ',') && $1::text[];

-- name: version
SELECT value::integer FROM immich_indexer.state WHERE key = 'pinyin';

-- name: clear
DELETE FROM immich_indexer_2.pinyin;

-- name: page
-- The $2 photos after $1, in the order of their ids.
SELECT asset_id FROM immich_indexer.photo WHERE asset_id > $1 ORDER BY asset_id LIMIT $2;

-- name: done
INSERT INTO immich_indexer.state (key, value) VALUES ('pinyin', to_jsonb($1::integer))
ON CONFLICT (key) DO UPDATE SET value = excluded.value;
