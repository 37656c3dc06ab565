-- Version 2: what Immich knows of each photo, searched together with its text.

DROP SCHEMA IF EXISTS immich_indexer_2 CASCADE;
CREATE SCHEMA immich_indexer_2;
COMMENT ON SCHEMA immich_indexer_2 IS 'immich-indexer: safe to drop with `immich-indexer uninstall`';

-- What changed in Immich's tables so that photos have other facts. Triggers insert, and nobody updates, so nobody waits for a lock
-- here. `kind` says what `id` is: a photo, or the person, tag or album of many photos. No notification tells of it: one takes as long as
-- Immich's own write, and those that commit at the same time wait for each other. So indexers look here twice a second.
CREATE TABLE immich_indexer_2.change (
    kind        text NOT NULL,
    id          uuid NOT NULL,
    priority    smallint NOT NULL               -- sql/terms.sql; the lowest first
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX change_priority ON immich_indexer_2.change (priority);

-- Which Chinese characters stand together in texts and in what all may search: for each first character those that follow it somewhere.
-- `first` begins as the lexemes do (indexer/text/fields.py). A row for each pair would be half as large as the text index. A pair may be
-- here that no document has any more, or be here twice. `fillfactor`: a row that grows stays on its page, and needs no index entry.
CREATE TABLE immich_indexer_2.pair (
    first       text COLLATE "C" NOT NULL,
    followers   text NOT NULL
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX pair_first ON immich_indexer_2.pair (first);

-- The lexemes of names of people, tags and albums, and the words of three or more characters in texts, with how they sound
-- (indexer/text/pinyin.py). Rows are only added, too.
CREATE TABLE immich_indexer_2.pinyin (
    lexeme      text COLLATE "C" PRIMARY KEY,
    sounds      text COLLATE "C" NOT NULL       -- with commas between; an array would be half as large again
);
CREATE INDEX pinyin_sounds ON immich_indexer_2.pinyin USING gin (string_to_array(sounds, ',')) WITH (fastupdate = off);
-- The words with which Immich writes places: which of the ways to write a Chinese name in Latin letters occur (indexer/photos/places.py).
-- Rows are only added.
CREATE TABLE immich_indexer_2.place (
    word        text COLLATE "C" PRIMARY KEY
);
DELETE FROM immich_indexer.state WHERE key = 'pinyin';  -- they are empty, so they have to be filled

-- A photo has facts before it is read. Such a row has no digest. The facts are no table of their own, because one index then answers a
-- search for words of which some are in the text and some in the facts. With two it would join all photos that match either.
ALTER TABLE immich_indexer.photo
    ALTER preview_updated_at DROP NOT NULL,
    ALTER digest DROP NOT NULL,
    ALTER indexed_at DROP NOT NULL,
    ADD COLUMN IF NOT EXISTS text_size integer,                         -- lexemes of the text; null: all in the document
    ADD COLUMN IF NOT EXISTS facts_hash uuid,                           -- MD5 of immich_indexer_2.facts
    ADD COLUMN IF NOT EXISTS facts_version smallint NOT NULL DEFAULT 0, -- which version of the code made the facts
    ADD COLUMN IF NOT EXISTS long_facts jsonb;                          -- canonical forms, where positions do not suffice
