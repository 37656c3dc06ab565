-- Version 1: the queue, what we know of each photo, and the workers.
-- search_path contains the schema of pgvector (halfvec).

DROP SCHEMA IF EXISTS immich_indexer CASCADE;
CREATE SCHEMA immich_indexer;
COMMENT ON SCHEMA immich_indexer IS 'immich-indexer: safe to drop with `immich-indexer uninstall`';

-- Values that fit nowhere else. For example what install changed outside of our schema, and uninstall takes back (settings of the
-- database), and how many photos had their thumbnails refreshed recently.
CREATE TABLE immich_indexer.state (
    key     text PRIMARY KEY,
    value   jsonb NOT NULL
);

CREATE TABLE immich_indexer.migration (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

-- Requests from triggers and people. Rows are only inserted and deleted, so nobody waits for a lock here: Immich's own transactions
-- insert into it. It has no index and no key, so that an insert is as cheap as possible.
CREATE TABLE immich_indexer.inbox (
    asset_id    uuid NOT NULL,
    tasks       text[] NOT NULL,            -- indexer/queue/tasks.py says what each means
    priority    smallint NOT NULL           -- sql/terms.sql; the lowest first
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0
);

-- One row for each asset that has something to be done. Rows that are done are deleted. Dead letters stay.
CREATE TABLE immich_indexer.job (
    asset_id    uuid PRIMARY KEY,
    tasks       text[] NOT NULL,                        -- wanted, not yet claimed
    running     text[] NOT NULL DEFAULT '{}',           -- claimed
    priority    smallint NOT NULL,                      -- sql/terms.sql; the lowest first
    generation  bigint NOT NULL DEFAULT 1,              -- increased by every new request, also while the job is claimed
    attempts    smallint NOT NULL DEFAULT 0,            -- counted when claimed, so that a killed process counts, too
    queued_at   timestamptz NOT NULL DEFAULT now(),
    not_before  timestamptz NOT NULL DEFAULT now(),
    worker      uuid,                                   -- the worker that has claimed it; its lease is worker.seen_at
    failed_at   timestamptz,
    error       text,                                   -- why the last attempt failed, for a person
    dead        boolean NOT NULL DEFAULT false,         -- given up; waits for `retry` or for a new event
    deaths      smallint NOT NULL DEFAULT 0             -- workers that died while they had it; then it runs alone
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000
);
CREATE INDEX job_ready ON immich_indexer.job (priority, not_before) WHERE worker IS NULL AND NOT dead;
CREATE INDEX job_held ON immich_indexer.job (worker) WHERE worker IS NOT NULL;
CREATE INDEX job_dead ON immich_indexer.job (failed_at) WHERE dead;

-- The rows of tag_asset that were taken as a request, once each. The tag is removed when the photo is read.
CREATE TABLE immich_indexer.tagged (
    asset_id    uuid NOT NULL,
    tag_id      uuid NOT NULL,
    PRIMARY KEY (asset_id, tag_id)
);

-- Messages received on the channel immich_indexer_reprocess in the last seconds. Every worker receives them, but only one acts.
CREATE TABLE immich_indexer.heard (
    message     text PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now()
);

-- Living workers. A worker that was not seen for the length of a lease loses its jobs.
CREATE TABLE immich_indexer.worker (
    id                  uuid PRIMARY KEY,
    name                text NOT NULL,                  -- host and process
    version             text NOT NULL,
    device              text NOT NULL,
    started_at          timestamptz NOT NULL DEFAULT now(),
    seen_at             timestamptz NOT NULL DEFAULT now(),
    photos              bigint NOT NULL DEFAULT 0,      -- finished since it started
    photos_per_minute   real NOT NULL DEFAULT 0,        -- over the last minute
    polling             boolean NOT NULL DEFAULT false  -- whether it polls, because notifications do not arrive
) WITH (fillfactor = 50);

-- What was read of each photo. This is our own copy: whatever happens to Immich's columns, they are filled again without reading.
CREATE TABLE immich_indexer.photo (
    asset_id            uuid PRIMARY KEY,
    preview_updated_at  timestamptz NOT NULL,           -- asset_file."updatedAt" of the preview that was read
    digest              bytea NOT NULL,                 -- SHA-256 of that preview's bytes
    clip_model          text,                           -- which weights made the vector
    clip                halfvec,                        -- L2-normalised; Immich's column begins with the same numbers
    ocr_model           text,                           -- which engine, models and settings made the lines
    lines               jsonb,                          -- an array of objects: indexer/photos/lines.py
    text                text NOT NULL DEFAULT '',       -- the visible lines, separated by newlines
    document            tsvector NOT NULL DEFAULT '',
    overflow            text,                           -- canonical form of a text that is too long for positions in its document
    taken_at            timestamptz,                    -- asset."fileCreatedAt" when the document was made
    tokens_version      smallint NOT NULL DEFAULT 0,    -- which version of the tokeniser made the document
    vector_hash         uuid,                           -- MD5 of what we wrote into Immich's column
    vector_version      smallint NOT NULL DEFAULT 0,    -- which version of the lexical part is in it
    indexed_at          timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE immich_indexer.photo ALTER document SET STORAGE MAIN;   -- it is read for each match, so it is kept in the row, not in TOAST
CREATE INDEX photo_document ON immich_indexer.photo USING gin (document) WITH (fastupdate = off);
CREATE INDEX photo_indexed_at ON immich_indexer.photo (indexed_at);
CREATE INDEX photo_digest ON immich_indexer.photo (digest);
