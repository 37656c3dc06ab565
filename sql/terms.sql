-- The terms of our SQL, each defined only here. Statements and functions contain eligible(x) and priority(name). When a file is
-- read, the text below replaces them (indexer/database/statements.py).

-- term: eligible(asset)
-- Whether we index an asset: Immich shows it somewhere, and its files exist.
asset."deletedAt" IS NULL AND asset.status = 'active' AND asset.visibility <> 'hidden' AND NOT asset."isOffline"

-- term: priority(request)
-- A person asks for a few photos, and waits for them.
0

-- term: priority(upload)
-- Immich has a new photo, or a new preview of one.
10

-- term: priority(bulk)
-- A person asks for many photos. They go behind new uploads.
15

-- term: priority(backfill)
-- A photo without results, or with those of another model.
20
