-- Asked by indexer/search/viewer.py.

-- name: viewer
-- Whose photos Immich's own search shows to user $1 besides their own: of partners who share with them, whom they took into their
-- timeline. And whether archived photos are found: by Immich 3, which made the duration of a video a number.
SELECT (SELECT coalesce(array_agg(p."sharedById"), '{}')
        FROM public.partner p JOIN public."user" u ON u.id = p."sharedById" AND u."deletedAt" IS NULL
        WHERE p."sharedWithId" = $1 AND p."inTimeline") AS partners,
       (SELECT atttypid = 'int4'::regtype FROM pg_attribute
        WHERE attrelid = 'public.asset'::regclass AND attname = 'duration') AS archived;

-- name: user
SELECT id FROM public."user" WHERE lower(email) = lower($1) AND "deletedAt" IS NULL;
