-- Asked by indexer/photos/places.py.

-- name: add
-- All insert in the same order, so who adds the same ones waits at most, and not in a circle.
INSERT INTO immich_indexer_2.place (word)
SELECT word FROM unnest($1::text[]) AS new (word)
WHERE NOT EXISTS (SELECT FROM immich_indexer_2.place k WHERE k.word = new.word)
ORDER BY word COLLATE "C" ON CONFLICT DO NOTHING;

-- name: known
-- Those of the words $1 that the table has. OFFSET 0: each is looked up by itself, and the same plan serves all.
SELECT wanted.word
FROM unnest($1::text[]) AS wanted (word)
CROSS JOIN LATERAL (SELECT FROM immich_indexer_2.place k WHERE k.word = wanted.word OFFSET 0) AS k;

-- name: written
-- The places of the photos $1, as Immich writes them.
SELECT DISTINCT place FROM public.asset_exif x CROSS JOIN LATERAL unnest(ARRAY[x.city, x.state, x.country]) AS place
WHERE x."assetId" = ANY ($1::uuid[]) AND place <> '';
