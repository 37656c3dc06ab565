-- The terms of our SQL, each said once. Where a statement or a function says eligible(x) or priority(name), what stands here
-- takes its place when the file is read (indexer/database/statements.py).

-- term: eligible(asset)
-- Whether an asset is indexed: Immich shows it somewhere, and its files are there.
asset."deletedAt" IS NULL AND asset.status = 'active' AND asset.visibility <> 'hidden' AND NOT asset."isOffline"

-- term: priority(request)
-- A person asks for a few photos, and waits.
0

-- term: priority(upload)
-- Immich has a new photo, or a new preview of one.
10

-- term: priority(bulk)
-- A person asks for many photos: those just uploaded go first.
15

-- term: priority(backfill)
-- A photo that lacks results, or has those of another model.
20
