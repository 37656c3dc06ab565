-- The part of Immich 2.7's schema that an indexer meets: tables, and all indexes and triggers on those that an upload writes,
-- so that the cost of an upload is the real one. Column and index names are Immich's; the wording is ours. The files beside this
-- one are what later versions of Immich make of it, each of the one before.

CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS unaccent;
CREATE EXTENSION IF NOT EXISTS cube;
CREATE EXTENSION IF NOT EXISTS earthdistance;

CREATE TYPE assets_status_enum AS ENUM ('active', 'trashed', 'deleted');
CREATE TYPE asset_visibility_enum AS ENUM ('archive', 'timeline', 'hidden', 'locked');
CREATE TYPE asset_checksum_algorithm_enum AS ENUM ('sha1', 'sha1-path');

-- Version 7 UUIDs: 48 bits of milliseconds, the version, then what a random UUID has after its own version.
CREATE FUNCTION immich_uuid_v7(p_timestamp timestamptz DEFAULT clock_timestamp()) RETURNS uuid
LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM p_timestamp) * 1000)::bigint), 12, '0')
            || '7' || right(replace(gen_random_uuid()::text, '-', ''), 19))::uuid
$$;

-- The body is bound when it is created, so that an index on it can be built under any search_path.
CREATE FUNCTION f_unaccent(text) RETURNS text
LANGUAGE sql PARALLEL SAFE STRICT IMMUTABLE
RETURN unaccent('unaccent', $1);

CREATE FUNCTION ll_to_earth_public(latitude double precision, longitude double precision) RETURNS public.earth
LANGUAGE sql PARALLEL SAFE STRICT IMMUTABLE AS $$
    SELECT public.cube(ARRAY[public.earth() * cos(radians(latitude)) * cos(radians(longitude)),
                             public.earth() * cos(radians(latitude)) * sin(radians(longitude)),
                             public.earth() * sin(radians(latitude))])::public.earth
$$;

CREATE FUNCTION updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    NEW."updatedAt" := moment;
    NEW."updateId" := immich_uuid_v7(moment);
    RETURN NEW;
END
$$;

CREATE FUNCTION asset_delete_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO asset_audit ("assetId", "ownerId") SELECT id, "ownerId" FROM old;
    RETURN NULL;
END
$$;

CREATE FUNCTION asset_edit_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO asset_edit_audit ("editId", "assetId") SELECT id, "assetId" FROM old;
    RETURN NULL;
END
$$;

CREATE FUNCTION asset_edit_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE asset SET "isEdited" = true
    WHERE id IN (SELECT "assetId" FROM inserted_edit) AND NOT "isEdited";
    RETURN NULL;
END
$$;

CREATE FUNCTION asset_edit_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE asset SET "isEdited" = false
    WHERE id IN (SELECT "assetId" FROM deleted_edit) AND "isEdited"
      AND NOT EXISTS (SELECT FROM asset_edit WHERE "assetId" = asset.id);
    RETURN NULL;
END
$$;

CREATE TABLE system_metadata (
    key     varchar PRIMARY KEY,
    value   jsonb NOT NULL
);

CREATE TABLE version_history (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "createdAt" timestamptz NOT NULL DEFAULT now(),
    version     varchar NOT NULL
);

CREATE TABLE "user" (
    id                      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email                   varchar NOT NULL UNIQUE,
    password                varchar NOT NULL DEFAULT '',
    name                    varchar NOT NULL DEFAULT '',
    "isAdmin"               boolean NOT NULL DEFAULT false,
    "storageLabel"          varchar UNIQUE,
    status                  varchar NOT NULL DEFAULT 'active',
    "quotaSizeInBytes"      bigint,
    "quotaUsageInBytes"     bigint NOT NULL DEFAULT 0,
    "createdAt"             timestamptz NOT NULL DEFAULT now(),
    "updatedAt"             timestamptz NOT NULL DEFAULT now(),
    "deletedAt"             timestamptz,
    "updateId"              uuid NOT NULL DEFAULT immich_uuid_v7()
);
CREATE INDEX "user_updatedAt_id_idx" ON "user" ("updatedAt", id);
CREATE INDEX "user_updateId_idx" ON "user" ("updateId");

CREATE TABLE api_key (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name            varchar NOT NULL,
    key             bytea NOT NULL,             -- SHA-256 of what the client sends
    "userId"        uuid NOT NULL REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE,
    permissions     varchar[] NOT NULL,
    "createdAt"     timestamptz NOT NULL DEFAULT now(),
    "updatedAt"     timestamptz NOT NULL DEFAULT now(),
    "updateId"      uuid NOT NULL DEFAULT immich_uuid_v7()
);
CREATE INDEX api_key_key_idx ON api_key (key);
CREATE INDEX "api_key_userId_idx" ON api_key ("userId");
CREATE INDEX "api_key_updateId_idx" ON api_key ("updateId");

CREATE TABLE session (
    id                      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    token                   bytea NOT NULL,     -- SHA-256 of what the client sends
    "createdAt"             timestamptz NOT NULL DEFAULT now(),
    "updatedAt"             timestamptz NOT NULL DEFAULT now(),
    "expiresAt"             timestamptz,
    "userId"                uuid NOT NULL REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE,
    "deviceType"            varchar NOT NULL DEFAULT '',
    "deviceOS"              varchar NOT NULL DEFAULT '',
    "updateId"              uuid NOT NULL DEFAULT immich_uuid_v7(),
    "pinExpiresAt"          timestamptz
);
CREATE INDEX session_token_idx ON session (token);
CREATE INDEX "session_userId_idx" ON session ("userId");
CREATE INDEX "session_updateId_idx" ON session ("updateId");

CREATE TABLE partner (
    "sharedById"    uuid NOT NULL REFERENCES "user" ON DELETE CASCADE,
    "sharedWithId"  uuid NOT NULL REFERENCES "user" ON DELETE CASCADE,
    "inTimeline"    boolean NOT NULL DEFAULT false,
    "createdAt"     timestamptz NOT NULL DEFAULT now(),
    "createId"      uuid NOT NULL DEFAULT immich_uuid_v7(),
    "updatedAt"     timestamptz NOT NULL DEFAULT now(),
    "updateId"      uuid NOT NULL DEFAULT immich_uuid_v7(),
    PRIMARY KEY ("sharedById", "sharedWithId")
);
CREATE INDEX "partner_sharedWithId_idx" ON partner ("sharedWithId");

CREATE TABLE library (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        varchar NOT NULL,
    "ownerId"   uuid NOT NULL REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE stack (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "ownerId"           uuid NOT NULL REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE,
    "primaryAssetId"    uuid NOT NULL UNIQUE
);

CREATE TABLE asset (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "ownerId"           uuid NOT NULL REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE,
    type                varchar NOT NULL,
    "originalPath"      varchar NOT NULL,
    "fileCreatedAt"     timestamptz NOT NULL,
    "fileModifiedAt"    timestamptz NOT NULL,
    "isFavorite"        boolean NOT NULL DEFAULT false,
    duration            varchar,
    checksum            bytea NOT NULL,
    "checksumAlgorithm" asset_checksum_algorithm_enum NOT NULL,
    "livePhotoVideoId"  uuid REFERENCES asset ON UPDATE CASCADE ON DELETE SET NULL,
    "updatedAt"         timestamptz NOT NULL DEFAULT now(),
    "createdAt"         timestamptz NOT NULL DEFAULT now(),
    "originalFileName"  varchar NOT NULL,
    thumbhash           bytea,
    "isOffline"         boolean NOT NULL DEFAULT false,
    "libraryId"         uuid REFERENCES library ON UPDATE CASCADE ON DELETE CASCADE,
    "isExternal"        boolean NOT NULL DEFAULT false,
    "deletedAt"         timestamptz,
    "localDateTime"     timestamptz NOT NULL,
    "stackId"           uuid REFERENCES stack ON UPDATE CASCADE ON DELETE SET NULL,
    "duplicateId"       uuid,
    status              assets_status_enum NOT NULL DEFAULT 'active',
    "updateId"          uuid NOT NULL DEFAULT immich_uuid_v7(),
    visibility          asset_visibility_enum NOT NULL DEFAULT 'timeline',
    width               integer,
    height              integer,
    "isEdited"          boolean NOT NULL DEFAULT false
);
ALTER TABLE stack ADD FOREIGN KEY ("primaryAssetId") REFERENCES asset;
CREATE INDEX "asset_ownerId_idx" ON asset ("ownerId");
CREATE INDEX "asset_fileCreatedAt_idx" ON asset ("fileCreatedAt");
CREATE INDEX asset_checksum_idx ON asset (checksum);
CREATE INDEX "asset_livePhotoVideoId_idx" ON asset ("livePhotoVideoId");
CREATE INDEX "asset_originalFileName_idx" ON asset ("originalFileName");
CREATE INDEX "asset_libraryId_idx" ON asset ("libraryId");
CREATE INDEX "asset_stackId_idx" ON asset ("stackId");
CREATE INDEX "asset_duplicateId_idx" ON asset ("duplicateId");
CREATE INDEX "asset_updateId_idx" ON asset ("updateId");
CREATE UNIQUE INDEX "UQ_assets_owner_checksum" ON asset ("ownerId", checksum) WHERE "libraryId" IS NULL;
CREATE UNIQUE INDEX "asset_ownerId_libraryId_checksum_idx" ON asset ("ownerId", "libraryId", checksum)
    WHERE "libraryId" IS NOT NULL;
CREATE INDEX "asset_localDateTime_idx" ON asset ((("localDateTime" AT TIME ZONE 'UTC')::date));
CREATE INDEX "asset_localDateTime_month_idx" ON asset
    ((date_trunc('MONTH', "localDateTime" AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'));
CREATE INDEX "asset_originalPath_libraryId_idx" ON asset ("originalPath", "libraryId");
CREATE INDEX "asset_id_stackId_idx" ON asset (id, "stackId");
CREATE INDEX "asset_originalFilename_trigram_idx" ON asset USING gin (f_unaccent("originalFileName") gin_trgm_ops);
CREATE INDEX "asset_id_timeline_notDeleted_idx" ON asset (id) WHERE visibility = 'timeline' AND "deletedAt" IS NULL;

CREATE TABLE asset_audit (
    id          uuid PRIMARY KEY DEFAULT immich_uuid_v7(),
    "assetId"   uuid NOT NULL,
    "ownerId"   uuid NOT NULL,
    "deletedAt" timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX "asset_audit_assetId_idx" ON asset_audit ("assetId");
CREATE INDEX "asset_audit_ownerId_idx" ON asset_audit ("ownerId");
CREATE INDEX "asset_audit_deletedAt_idx" ON asset_audit ("deletedAt");

CREATE TABLE asset_file (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "assetId"       uuid NOT NULL REFERENCES asset ON UPDATE CASCADE ON DELETE CASCADE,
    type            varchar NOT NULL,
    path            varchar NOT NULL,
    "isEdited"      boolean NOT NULL DEFAULT false,
    "isProgressive" boolean NOT NULL DEFAULT false,
    "isTransparent" boolean NOT NULL DEFAULT false,
    "createdAt"     timestamptz NOT NULL DEFAULT now(),
    "updatedAt"     timestamptz NOT NULL DEFAULT now(),
    "updateId"      uuid NOT NULL DEFAULT immich_uuid_v7(),
    CONSTRAINT "asset_file_assetId_type_isEdited_uq" UNIQUE ("assetId", type, "isEdited")
);
CREATE INDEX "asset_file_assetId_idx" ON asset_file ("assetId");
CREATE INDEX "asset_file_updateId_idx" ON asset_file ("updateId");

CREATE TABLE asset_exif (
    "assetId"           uuid PRIMARY KEY REFERENCES asset ON DELETE CASCADE,
    make                varchar,
    model               varchar,
    "exifImageWidth"    integer,
    "exifImageHeight"   integer,
    "fileSizeInByte"    bigint,
    orientation         varchar,
    "dateTimeOriginal"  timestamptz,
    "modifyDate"        timestamptz,
    "lensModel"         varchar,
    "fNumber"           double precision,
    "focalLength"       double precision,
    iso                 integer,
    latitude            double precision,
    longitude           double precision,
    city                varchar,
    state               varchar,
    country             varchar,
    description         text NOT NULL DEFAULT '',
    fps                 double precision,
    "exposureTime"      varchar,
    "livePhotoCID"      varchar,
    "timeZone"          varchar,
    "projectionType"    varchar,
    "profileDescription" varchar,
    colorspace          varchar,
    "bitsPerSample"     integer,
    "autoStackId"       varchar,
    rating              integer,
    tags                varchar[],
    "updatedAt"         timestamptz NOT NULL DEFAULT clock_timestamp(),
    "updateId"          uuid NOT NULL DEFAULT immich_uuid_v7(),
    "lockedProperties"  varchar[]
);
CREATE INDEX asset_exif_city_idx ON asset_exif (city);
CREATE INDEX "asset_exif_livePhotoCID_idx" ON asset_exif ("livePhotoCID");
CREATE INDEX "asset_exif_autoStackId_idx" ON asset_exif ("autoStackId");
CREATE INDEX "asset_exif_updateId_idx" ON asset_exif ("updateId");
CREATE INDEX "IDX_asset_exif_gist_earthcoord" ON asset_exif USING gist (ll_to_earth_public(latitude, longitude));

CREATE TABLE asset_job_status (
    "assetId"               uuid PRIMARY KEY REFERENCES asset ON UPDATE CASCADE ON DELETE CASCADE,
    "facesRecognizedAt"     timestamptz,
    "metadataExtractedAt"   timestamptz,
    "duplicatesDetectedAt"  timestamptz,
    "ocrAt"                 timestamptz
);

CREATE TABLE asset_edit (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "assetId"   uuid NOT NULL REFERENCES asset ON UPDATE CASCADE ON DELETE CASCADE,
    action      varchar NOT NULL,
    parameters  jsonb NOT NULL,                 -- of a crop: x, y, width, height in pixels of the original
    sequence    integer NOT NULL,
    "updatedAt" timestamptz NOT NULL DEFAULT now(),
    "updateId"  uuid NOT NULL DEFAULT immich_uuid_v7(),
    CONSTRAINT "asset_edit_assetId_sequence_uq" UNIQUE ("assetId", sequence)
);
CREATE INDEX "asset_edit_assetId_idx" ON asset_edit ("assetId");
CREATE INDEX "asset_edit_updateId_idx" ON asset_edit ("updateId");

CREATE TABLE asset_edit_audit (
    id          uuid PRIMARY KEY DEFAULT immich_uuid_v7(),
    "editId"    uuid NOT NULL,
    "assetId"   uuid NOT NULL,
    "deletedAt" timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE smart_search (
    "assetId"   uuid PRIMARY KEY REFERENCES asset ON DELETE CASCADE,
    embedding   vector(512) NOT NULL
);
ALTER TABLE smart_search ALTER COLUMN embedding SET STORAGE EXTERNAL;
CREATE INDEX clip_index ON smart_search USING hnsw (embedding vector_cosine_ops) WITH (ef_construction = 300, m = 16);

CREATE TABLE asset_ocr (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "assetId"   uuid NOT NULL REFERENCES asset ON UPDATE CASCADE ON DELETE CASCADE,
    x1 real NOT NULL, y1 real NOT NULL, x2 real NOT NULL, y2 real NOT NULL,     -- 0 to 1, clockwise from top left
    x3 real NOT NULL, y3 real NOT NULL, x4 real NOT NULL, y4 real NOT NULL,
    "boxScore"  real NOT NULL,
    "textScore" real NOT NULL,
    text        text NOT NULL,
    "isVisible" boolean NOT NULL DEFAULT true
);
CREATE INDEX "asset_ocr_assetId_idx" ON asset_ocr ("assetId");

CREATE TABLE ocr_search (
    "assetId"   uuid PRIMARY KEY REFERENCES asset ON UPDATE CASCADE ON DELETE CASCADE,
    text        text NOT NULL
);
CREATE INDEX idx_ocr_search_text ON ocr_search USING gin (f_unaccent(text) gin_trgm_ops);

CREATE TABLE tag (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "userId"    uuid NOT NULL REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE,
    value       varchar NOT NULL,
    color       varchar,
    "parentId"  uuid REFERENCES tag ON DELETE CASCADE,
    "createdAt" timestamptz NOT NULL DEFAULT now(),
    "updatedAt" timestamptz NOT NULL DEFAULT now(),
    "updateId"  uuid NOT NULL DEFAULT immich_uuid_v7(),
    CONSTRAINT "tag_userId_value_uq" UNIQUE ("userId", value)
);
CREATE INDEX "tag_parentId_idx" ON tag ("parentId");
CREATE INDEX "tag_updateId_idx" ON tag ("updateId");

CREATE TABLE tag_asset (
    "assetId"   uuid NOT NULL REFERENCES asset ON UPDATE CASCADE ON DELETE CASCADE,
    "tagId"     uuid NOT NULL REFERENCES tag ON UPDATE CASCADE ON DELETE CASCADE,
    PRIMARY KEY ("assetId", "tagId")
);
CREATE INDEX "tag_asset_assetId_idx" ON tag_asset ("assetId");
CREATE INDEX "tag_asset_tagId_idx" ON tag_asset ("tagId");
CREATE INDEX "tag_asset_assetId_tagId_idx" ON tag_asset ("assetId", "tagId");

CREATE TYPE sourcetype AS ENUM ('machine-learning', 'exif', 'manual');

CREATE TABLE person (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "createdAt"     timestamptz NOT NULL DEFAULT now(),
    "updatedAt"     timestamptz NOT NULL DEFAULT now(),
    "ownerId"       uuid NOT NULL REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE,
    name            varchar NOT NULL DEFAULT '',
    "thumbnailPath" varchar NOT NULL DEFAULT '',
    "isHidden"      boolean NOT NULL DEFAULT false,
    "birthDate"     date,
    "faceAssetId"   uuid,
    "isFavorite"    boolean NOT NULL DEFAULT false,
    color           varchar,
    "updateId"      uuid NOT NULL DEFAULT immich_uuid_v7()
);
CREATE INDEX "person_ownerId_idx" ON person ("ownerId");
CREATE INDEX "person_updateId_idx" ON person ("updateId");

CREATE TABLE asset_face (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "assetId"       uuid NOT NULL REFERENCES asset ON UPDATE CASCADE ON DELETE CASCADE,
    "personId"      uuid CONSTRAINT "asset_face_personId_fkey" REFERENCES person ON UPDATE CASCADE ON DELETE SET NULL,
    "imageWidth"    integer NOT NULL DEFAULT 0,
    "imageHeight"   integer NOT NULL DEFAULT 0,
    "boundingBoxX1" integer NOT NULL DEFAULT 0,
    "boundingBoxY1" integer NOT NULL DEFAULT 0,
    "boundingBoxX2" integer NOT NULL DEFAULT 0,
    "boundingBoxY2" integer NOT NULL DEFAULT 0,
    "sourceType"    sourcetype NOT NULL DEFAULT 'machine-learning',
    "deletedAt"     timestamptz,
    "updatedAt"     timestamptz NOT NULL DEFAULT now(),
    "updateId"      uuid NOT NULL DEFAULT immich_uuid_v7(),
    "isVisible"     boolean NOT NULL DEFAULT true
);
ALTER TABLE person ADD FOREIGN KEY ("faceAssetId") REFERENCES asset_face ON UPDATE CASCADE ON DELETE SET NULL;
CREATE INDEX "asset_face_assetId_personId_idx" ON asset_face ("assetId", "personId");
CREATE INDEX "asset_face_personId_assetId_idx" ON asset_face ("personId", "assetId");

CREATE TABLE album (
    id                      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "ownerId"               uuid NOT NULL CONSTRAINT "album_ownerId_fkey" REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE,
    "albumName"             varchar NOT NULL DEFAULT 'Untitled Album',
    description             text NOT NULL DEFAULT '',
    "albumThumbnailAssetId" uuid REFERENCES asset ON UPDATE CASCADE ON DELETE SET NULL,
    "createdAt"             timestamptz NOT NULL DEFAULT now(),
    "updatedAt"             timestamptz NOT NULL DEFAULT now(),
    "deletedAt"             timestamptz,
    "updateId"              uuid NOT NULL DEFAULT immich_uuid_v7()
);
CREATE INDEX "album_ownerId_idx" ON album ("ownerId");
CREATE INDEX "album_albumThumbnailAssetId_idx" ON album ("albumThumbnailAssetId");

-- Whom an album is shared with.
CREATE TABLE album_user (
    "albumId"   uuid NOT NULL REFERENCES album ON UPDATE CASCADE ON DELETE CASCADE,
    "userId"    uuid NOT NULL REFERENCES "user" ON UPDATE CASCADE ON DELETE CASCADE,
    role        varchar NOT NULL DEFAULT 'editor',
    "createdAt" timestamptz NOT NULL DEFAULT now(),
    "updatedAt" timestamptz NOT NULL DEFAULT now(),
    "updateId"  uuid NOT NULL DEFAULT immich_uuid_v7(),
    PRIMARY KEY ("albumId", "userId")
);
CREATE INDEX "album_user_userId_idx" ON album_user ("userId");

CREATE TABLE album_asset (
    "albumId"   uuid NOT NULL REFERENCES album ON UPDATE CASCADE ON DELETE CASCADE,
    "assetId"   uuid NOT NULL REFERENCES asset ON UPDATE CASCADE ON DELETE CASCADE,
    "createdAt" timestamptz NOT NULL DEFAULT now(),
    "updatedAt" timestamptz NOT NULL DEFAULT now(),
    "updateId"  uuid NOT NULL DEFAULT immich_uuid_v7(),
    PRIMARY KEY ("albumId", "assetId")
);
CREATE INDEX "album_asset_assetId_idx" ON album_asset ("assetId");
CREATE INDEX "album_asset_albumId_idx" ON album_asset ("albumId");

CREATE TRIGGER "user_updatedAt" BEFORE UPDATE ON "user" FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "api_key_updatedAt" BEFORE UPDATE ON api_key FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "session_updatedAt" BEFORE UPDATE ON session FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "partner_updatedAt" BEFORE UPDATE ON partner FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "asset_updatedAt" BEFORE UPDATE ON asset FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "asset_file_updatedAt" BEFORE UPDATE ON asset_file FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "asset_exif_updatedAt" BEFORE UPDATE ON asset_exif FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "asset_edit_updatedAt" BEFORE UPDATE ON asset_edit FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "tag_updatedAt" BEFORE UPDATE ON tag FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "person_updatedAt" BEFORE UPDATE ON person FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "asset_face_updatedAt" BEFORE UPDATE ON asset_face FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "album_updatedAt" BEFORE UPDATE ON album FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER "album_asset_updatedAt" BEFORE UPDATE ON album_asset FOR EACH ROW EXECUTE FUNCTION updated_at();
CREATE TRIGGER asset_delete_audit AFTER DELETE ON asset REFERENCING OLD TABLE AS old
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION asset_delete_audit();
CREATE TRIGGER asset_edit_insert AFTER INSERT ON asset_edit REFERENCING NEW TABLE AS inserted_edit
    FOR EACH STATEMENT EXECUTE FUNCTION asset_edit_insert();
CREATE TRIGGER asset_edit_delete AFTER DELETE ON asset_edit REFERENCING OLD TABLE AS deleted_edit
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION asset_edit_delete();
CREATE TRIGGER asset_edit_audit AFTER DELETE ON asset_edit REFERENCING OLD TABLE AS old
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION asset_edit_audit();
