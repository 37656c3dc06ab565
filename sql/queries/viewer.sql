-- Asked by indexer/search/viewer.py.

-- name: viewer
-- The partners whose photos Immich's own search shows to user $1: those who share with the user and are in the user's timeline. And
-- whether it finds archived photos: Immich 3 does, in which the duration of a video is a number.
SELECT (SELECT coalesce(array_agg(p."sharedById"), '{}')
        FROM public.partner p JOIN public."user" u ON u.id = p."sharedById" AND u."deletedAt" IS NULL
        WHERE p."sharedWithId" = $1 AND p."inTimeline") AS partners,
       (SELECT atttypid = 'int4'::regtype FROM pg_attribute
        WHERE attrelid = 'public.asset'::regclass AND attname = 'duration') AS archived;

-- name: user
SELECT id FROM public."user" WHERE lower(email) = lower($1) AND "deletedAt" IS NULL;
