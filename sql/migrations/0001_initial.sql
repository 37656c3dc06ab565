-- Version 1: the queue, what we know of each photo, and who is at work.
-- search_path holds the schema pgvector lives in (halfvec).

DROP SCHEMA IF EXISTS immich_indexer CASCADE;
CREATE SCHEMA immich_indexer;
COMMENT ON SCHEMA immich_indexer IS 'immich-indexer: safe to drop with `immich-indexer uninstall`';

-- What does not fit elsewhere: what install changed outside our schema and uninstall takes back (settings of the database),
-- and how many photos had their thumbnails refreshed of late.
CREATE TABLE immich_indexer.state (
    key     text PRIMARY KEY,
    value   jsonb NOT NULL
);

CREATE TABLE immich_indexer.migration (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

-- What triggers and people ask for. Rows are only ever appended and taken, so nobody waits for a lock here: Immich's own
-- transactions write into it. No index, no key: an insert costs as little as an insert can.
CREATE TABLE immich_indexer.inbox (
    asset_id    uuid NOT NULL,
    tasks       text[] NOT NULL,            -- indexer/queue/tasks.py says what each means
    priority    smallint NOT NULL,
    tag_id      uuid                        -- the tag that asks for it
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0
);

-- One row an asset that has something to be done. Rows that are done are deleted; the dead letters stay.
CREATE TABLE immich_indexer.job (
    asset_id    uuid PRIMARY KEY,
    tasks       text[] NOT NULL,                        -- wanted, and not yet claimed
    running     text[] NOT NULL DEFAULT '{}',           -- claimed
    priority    smallint NOT NULL,                      -- sql/terms.sql; the lowest first
    generation  bigint NOT NULL DEFAULT 1,              -- raised by every new request, also while the job is claimed
    attempts    smallint NOT NULL DEFAULT 0,            -- counted when claimed, so that a killed process counts too
    queued_at   timestamptz NOT NULL DEFAULT now(),
    not_before  timestamptz NOT NULL DEFAULT now(),
    worker      uuid,                                   -- who holds it; its lease is worker.seen_at
    failed_at   timestamptz,
    error       text,                                   -- why the last attempt failed, for a person
    dead        boolean NOT NULL DEFAULT false,         -- given up: waits for `retry` or for a new event
    deaths      smallint NOT NULL DEFAULT 0             -- of workers, while they held it: then it runs by itself
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000
);
CREATE INDEX job_ready ON immich_indexer.job (priority, not_before) WHERE worker IS NULL AND NOT dead;
CREATE INDEX job_held ON immich_indexer.job (worker) WHERE worker IS NOT NULL;
CREATE INDEX job_dead ON immich_indexer.job (failed_at) WHERE dead;

-- Which rows of tag_asset were taken as a request: the others were missed, and these are taken off when the photo is read.
CREATE TABLE immich_indexer.tagged (
    asset_id    uuid NOT NULL,
    tag_id      uuid NOT NULL,
    PRIMARY KEY (asset_id, tag_id)
);

-- What was heard on the channel immich_indexer_reprocess in the last seconds: every worker hears it, once is enough.
CREATE TABLE immich_indexer.heard (
    message     text PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now()
);

-- Living workers. A worker that has not been seen for a lease loses its jobs.
CREATE TABLE immich_indexer.worker (
    id                  uuid PRIMARY KEY,
    name                text NOT NULL,                  -- host and process
    version             text NOT NULL,
    device              text NOT NULL,
    started_at          timestamptz NOT NULL DEFAULT now(),
    seen_at             timestamptz NOT NULL DEFAULT now(),
    photos              bigint NOT NULL DEFAULT 0,      -- finished since it started
    photos_per_minute   real NOT NULL DEFAULT 0,        -- over the last minute
    polling                boolean NOT NULL DEFAULT false  -- notifications do not arrive: it polls
) WITH (fillfactor = 50);

-- What was read of each photo: our own copy, so that whatever happens to Immich's columns costs a copy and no inference.
CREATE TABLE immich_indexer.photo (
    asset_id            uuid PRIMARY KEY,
    preview_updated_at  timestamptz NOT NULL,           -- asset_file."updatedAt" of the preview that was read
    digest              bytea NOT NULL,                 -- SHA-256 of that preview's bytes
    clip_model          text,                           -- which weights made the vector
    clip                halfvec,                        -- L2-normalised; Immich's column begins with the very same numbers
    ocr_model           text,                           -- which engine, models and settings made the lines
    lines               jsonb,                          -- an array of objects: indexer/photos/lines.py
    text                text NOT NULL DEFAULT '',       -- the visible lines, one a line
    document            tsvector NOT NULL DEFAULT '',
    overflow            text,                           -- canonical form of a text too long for its document to tell of phrases
    taken_at            timestamptz,                    -- asset."fileCreatedAt" when the document was made
    tokens_version      smallint NOT NULL DEFAULT 0,    -- which version of the tokeniser made the document
    vector_hash         uuid,                           -- MD5 of what we wrote into Immich's column
    vector_version      smallint NOT NULL DEFAULT 0,    -- which version of the lexical part is in it
    indexed_at          timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE immich_indexer.photo ALTER document SET STORAGE MAIN;   -- read for each match: in the row, not in its TOAST
CREATE INDEX photo_document ON immich_indexer.photo USING gin (document) WITH (fastupdate = off);
CREATE INDEX photo_indexed_at ON immich_indexer.photo (indexed_at);
CREATE INDEX photo_digest ON immich_indexer.photo (digest);
