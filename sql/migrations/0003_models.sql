-- Version 3: vectors of more than one CLIP model, so that a model can be changed while people search.

DROP SCHEMA IF EXISTS immich_indexer_3 CASCADE;
CREATE SCHEMA immich_indexer_3;
COMMENT ON SCHEMA immich_indexer_3 IS 'immich-indexer: safe to drop with `immich-indexer uninstall`';

-- The models of which there are vectors. `current`: its vectors are in Immich's column, and questions are asked with it. `next`: each
-- photo gets a vector of it, and then it becomes the current one. `previous`: it was current before. `idle`: neither, but its vectors
-- are kept for a while.
CREATE TABLE immich_indexer_3.model (
    name        text PRIMARY KEY,               -- as stored with its vectors; `immich`: the one that Immich's own server uses
    setting     text,                           -- the value of CLIP_MODEL that names it; of `immich`: the name that Immich sends
    dimensions  integer,
    state       text NOT NULL CHECK (state IN ('current', 'next', 'previous', 'idle')),
    held        boolean NOT NULL DEFAULT false, -- a person took the change to it back: CLIP_MODEL alone does not begin it again
    since       timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX model_state ON immich_indexer_3.model (state) WHERE state <> 'idle';

-- The vectors that are not in immich_indexer.photo. A photo's row has a vector of one model, `clip_model`. Those of other models are
-- here, also those of the current one after a change: so a change moves nothing.
CREATE TABLE immich_indexer_3.vector (
    model       text NOT NULL,
    asset_id    uuid NOT NULL,
    digest      bytea,                          -- SHA-256 of the preview that was read; null where Immich made the vector
    embedding   halfvec,                        -- L2-normalised
    hash        uuid,                           -- MD5 of what we wrote into Immich's column
    PRIMARY KEY (model, asset_id)
);
CREATE INDEX vector_asset ON immich_indexer_3.vector (asset_id);

ALTER TABLE immich_indexer.worker ADD COLUMN IF NOT EXISTS clip_model text;     -- the model that its CLIP_MODEL names

-- The last `immich-indexer model try`, one row: another model was compared with the current one on some photos.
CREATE TABLE immich_indexer_3.trial (
    made_at     timestamptz PRIMARY KEY,
    current     text NOT NULL,                  -- the model in use then
    tried       text NOT NULL,
    setting     text NOT NULL,                  -- the value of CLIP_MODEL that names the tried one
    figures     jsonb NOT NULL                  -- indexer/photos/trials.py; no name and no text of anybody is in it
);

-- Those photos, with their vectors by both models, which no search ever uses.
CREATE TABLE immich_indexer_3.trial_photo (
    asset_id    uuid PRIMARY KEY,
    current     halfvec NOT NULL,               -- L2-normalised
    tried       halfvec NOT NULL
);
