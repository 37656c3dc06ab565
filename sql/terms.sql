-- The terms of our SQL, each defined only here. Statements, functions and other terms contain eligible(x), priority(name) and so on. When
-- a file is read, the text below replaces them (indexer/database/statements.py).

-- term: present(asset)
-- Whether Immich has an asset: it is not in the trash, and is not being deleted.
asset."deletedAt" IS NULL AND asset.status = 'active'

-- term: listed(asset)
-- Whether an asset's owner is shown it without unlocking the locked folder.
present(asset) AND asset.visibility IN ('timeline', 'archive')

-- term: eligible(asset)
-- Whether we index an asset: Immich shows it somewhere, and its files exist.
present(asset) AND asset.visibility <> 'hidden' AND NOT asset."isOffline"

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
