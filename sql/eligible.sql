-- Whether an asset is indexed: Immich shows it somewhere, and its files are there. Wherever our SQL says eligible(x), this
-- stands with x for `asset`.
asset."deletedAt" IS NULL AND asset.status = 'active' AND asset.visibility <> 'hidden' AND NOT asset."isOffline"
