-- Asked by indexer/search/suggest.py. OFFSET 0: the index of documents is asked first, whatever the planner thinks about an owner.

-- name: names
-- The people, tags and albums of user $1.
SELECT kind, id, name FROM immich_indexer_2.names($1::uuid);

-- name: used
-- Those of the people, tags and albums $2, $3 that a photo of user $1 has which a search shows: archived ones only if $4.
SELECT kind, id FROM unnest($2::text[], $3::uuid[]) AS named (kind, id)
WHERE immich_indexer_2.used($1::uuid, named.kind, named.id, $4::boolean);

-- name: person
-- Whether user $1 has a named person of that id.
SELECT EXISTS (SELECT FROM immich_indexer_2.names($1::uuid) AS named WHERE named.kind = 'person' AND named.id = $2::uuid);

-- name: places
-- The places of the $5 newest photos that user $1 is shown and that the tsqueries $4 find, and how many of these photos have each. $4 has
-- one for each window of days, newest first, as in search.sql. $2: whose photos. $3: whether the user's own archived ones, too.
SELECT place, count(*) AS photos
FROM (
    SELECT hit.* FROM unnest($4::text[]) WITH ORDINALITY AS span (query, nth)
    CROSS JOIN LATERAL (
        SELECT x.city, x.state, x.country
        FROM immich_indexer.photo p
        CROSS JOIN LATERAL (
            SELECT x.city, x.state, x.country FROM public.asset a JOIN public.asset_exif x ON x."assetId" = a.id
            WHERE a.id = p.asset_id AND a."ownerId" = ANY ($2::uuid[]) AND present(a)
              AND (a.visibility = 'timeline' OR $3::boolean AND a.visibility = 'archive' AND a."ownerId" = $1::uuid) OFFSET 0
        ) AS x
        WHERE p.document @@ span.query::tsquery
        LIMIT $5::integer
    ) AS hit
    LIMIT $5::integer
) AS newest, unnest(ARRAY[city, state, country]) AS place
WHERE place <> '' GROUP BY place;

-- name: texts
-- The beginnings of the texts of the $4 newest photos of user $1 that the tsqueries $3 find, archived ones only if $2.
SELECT hit.text FROM unnest($3::text[]) WITH ORDINALITY AS span (query, nth)
CROSS JOIN LATERAL (
    SELECT left(p.text, 2000) AS text
    FROM immich_indexer.photo p
    CROSS JOIN LATERAL (
        SELECT FROM public.asset a
        WHERE a.id = p.asset_id AND a."ownerId" = $1::uuid AND present(a)
          AND (a.visibility = 'timeline' OR $2::boolean AND a.visibility = 'archive') OFFSET 0
    ) AS shown
    WHERE p.document @@ span.query::tsquery
    LIMIT $4::integer
) AS hit
LIMIT $4::integer;
