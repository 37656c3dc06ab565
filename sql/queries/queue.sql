-- Asked by the modules in indexer/queue/. No other code touches immich_indexer.inbox and immich_indexer.job.

-- name: drain
-- Drains up to $1 rows of the inbox into the queue. Returns how many. A request for a claimed job increases its generation, so that it
-- runs once more. A request for a dead one revives it.
-- Photos whose thumbnails a person refreshed are read again as a person's request, but only the first $2 of a series. A series ends after
-- $3 seconds without any. An administrator's "all thumbnails" is one series, however slow the server is.
-- While the CLIP model is changed, a photo that needs a vector needs one of the next model, too.
-- What Immich knows of a new photo is written, too. It is noted here and not by a trigger, so that an upload does not wait for that.
WITH taken AS (
    DELETE FROM immich_indexer.inbox
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM immich_indexer.inbox LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING asset_id, tasks, priority
), refreshed AS (
    SELECT asset_id, row_number() OVER () AS place, count(*) OVER () AS of_all
    FROM (SELECT DISTINCT asset_id FROM taken WHERE 'refreshed' = ANY (tasks)) AS photos
), run AS (
    INSERT INTO immich_indexer.state AS s (key, value)
    SELECT 'refreshed', jsonb_build_object('photos', count(*), 'at', now()) FROM refreshed HAVING count(*) > 0
    ON CONFLICT (key) DO UPDATE SET value = jsonb_build_object(
        'photos', (excluded.value->>'photos')::bigint
            + CASE WHEN (s.value->>'at')::timestamptz > now() - make_interval(secs => $3) THEN (s.value->>'photos')::bigint ELSE 0 END,
        'at', now())
    RETURNING (value->>'photos')::bigint AS photos
), wanted AS (
    SELECT asset_id, array_agg(DISTINCT task ORDER BY task) AS tasks, min(priority) AS priority
    FROM (
        SELECT asset_id, task, priority FROM taken, unnest(tasks) AS task WHERE task <> 'refreshed'
        UNION ALL
        SELECT asset_id, task, priority(request) FROM refreshed, run, unnest('{clip!,ocr!}'::text[]) AS task
        WHERE run.photos - of_all + place <= $2
        UNION ALL
        SELECT asset_id, replace(task, 'clip', 'next'), priority FROM taken, unnest(tasks) AS task
        WHERE task IN ('clip', 'clip!') AND EXISTS (SELECT FROM immich_indexer_3.model WHERE state = 'next')
    ) AS requests
    GROUP BY asset_id
), new AS (
    INSERT INTO immich_indexer_2.change (kind, id, priority)
    SELECT 'photo', asset_id, priority FROM wanted
    WHERE tasks && '{clip,ocr}' AND NOT EXISTS (SELECT FROM immich_indexer.photo p WHERE p.asset_id = wanted.asset_id AND p.facts_version > 0)
), merged AS (
    INSERT INTO immich_indexer.job AS job (asset_id, tasks, priority)
    SELECT asset_id, tasks, priority FROM wanted ORDER BY asset_id
    ON CONFLICT (asset_id) DO UPDATE SET
        tasks = ARRAY(SELECT DISTINCT task FROM unnest(job.tasks || excluded.tasks) AS task ORDER BY task),
        priority = least(job.priority, excluded.priority),
        generation = job.generation + 1,
        attempts = CASE WHEN job.worker IS NULL THEN 0 ELSE job.attempts END,
        deaths = CASE WHEN job.worker IS NULL THEN 0 ELSE job.deaths END,
        not_before = now(),
        dead = false
)
SELECT count(*) FROM taken;

-- name: claim
-- Gives worker $1 up to $2 jobs. A job that a worker died of is claimed alone, so that no other job is lost with it. A worker that is
-- not registered gets none: others think that it is dead, or it has ended and this claim is late.
-- The tasks $3 cannot be done now. A job with only these is not claimed if it already says what it waits for, or if $4. Only jobs with
-- one of the tasks $5 (null: any).
WITH ready AS MATERIALIZED (
    SELECT asset_id, deaths, row_number() OVER (ORDER BY priority, not_before) AS place
    FROM (
        SELECT asset_id, deaths, priority, not_before FROM immich_indexer.job
        WHERE worker IS NULL AND NOT dead AND not_before <= now()
          AND EXISTS (SELECT FROM immich_indexer.worker WHERE id = $1)
          AND NOT (tasks <@ $3::text[] AND ($4 OR coalesce(error LIKE 'waits for the machine: %', false)))
          AND ($5::text[] IS NULL OR tasks && $5)
        ORDER BY priority, not_before LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS locked
), chosen AS (
    SELECT asset_id FROM ready
    WHERE CASE WHEN (SELECT deaths > 0 FROM ready WHERE place = 1) THEN place = 1 ELSE deaths = 0 END
)
UPDATE immich_indexer.job SET worker = $1, running = tasks, tasks = '{}', attempts = job.attempts + 1
FROM chosen WHERE job.asset_id = chosen.asset_id
RETURNING job.asset_id, running AS tasks, priority, generation, attempts, deaths > 0 AS alone;

-- name: claim_requests
-- Gives worker $1 up to $2 jobs that a person waits for, whatever else it has claimed. Jobs that have to run alone are left to `claim`.
-- $3 and $4 as there.
UPDATE immich_indexer.job SET worker = $1, running = tasks, tasks = '{}', attempts = job.attempts + 1
FROM (
    SELECT asset_id FROM immich_indexer.job
    WHERE worker IS NULL AND NOT dead AND priority <= priority(request) AND deaths = 0 AND not_before <= now()
      AND EXISTS (SELECT FROM immich_indexer.worker WHERE id = $1)
      AND NOT (tasks <@ $3::text[] AND ($4 OR coalesce(error LIKE 'waits for the machine: %', false)))
    ORDER BY priority, not_before LIMIT $2 FOR UPDATE SKIP LOCKED
) AS chosen
WHERE job.asset_id = chosen.asset_id
RETURNING job.asset_id, running AS tasks, priority, generation, attempts, deaths > 0 AS alone;

-- name: asked_meanwhile
-- Those of $2, claimed by worker $1, that a person has asked for since, with the generation.
SELECT asset_id, generation FROM immich_indexer.job
WHERE worker = $1 AND asset_id = ANY ($2::uuid[]) AND priority <= priority(request) AND cardinality(tasks) > 0;

-- name: promote
-- Claims the jobs $2, of generations $3, again, with all the tasks that they have now. A job of another generation is left alone: this
-- may run late, after the job was released and claimed again.
UPDATE immich_indexer.job SET
    running = ARRAY(SELECT DISTINCT task FROM unnest(running || tasks) AS task ORDER BY task), tasks = '{}'
FROM unnest($2::uuid[], $3::bigint[]) AS asked (asset_id, generation)
WHERE worker = $1 AND job.asset_id = asked.asset_id AND job.generation = asked.generation
  AND priority <= priority(request) AND cardinality(tasks) > 0
RETURNING job.asset_id, running AS tasks, priority, job.generation, attempts, deaths > 0 AS alone;

-- name: hold
-- Locks those of $2 that worker $1 still has claimed, in the order of their ids, until the end of the transaction.
SELECT asset_id FROM immich_indexer.job WHERE worker = $1 AND asset_id = ANY ($2::uuid[]) ORDER BY asset_id FOR UPDATE;

-- name: complete
-- Worker $1 completes the jobs $2, claimed at generations $3. Those that were requested again meanwhile stay in the queue. For jobs that
-- a person asked for there is a notification, as they may be waiting. Others have none: commits with notifications run one by one.
WITH done AS (
    SELECT * FROM unnest($2::uuid[], $3::bigint[]) AS done (asset_id, generation)
), again AS (
    UPDATE immich_indexer.job SET worker = NULL, running = '{}', attempts = 0, deaths = 0, not_before = now()
    FROM done WHERE job.asset_id = done.asset_id AND job.worker = $1 AND job.generation <> done.generation
    RETURNING 1
), finished AS (
    DELETE FROM immich_indexer.job USING done
    WHERE job.asset_id = done.asset_id AND job.worker = $1 AND job.generation = done.generation
    RETURNING job.asset_id, priority
), notified AS (
    SELECT pg_notify('immich_indexer_done', asset_id::text) FROM finished
    WHERE priority <= priority(request) AND pg_notification_queue_usage() < 0.5
)
SELECT (SELECT count(*) FROM finished) AS finished, (SELECT count(*) FROM again) AS again, (SELECT count(*) FROM notified) AS notified;

-- name: fail
-- Worker $1 failed job $2, claimed at generation $6 for attempt $7, for reason $3. $4 attempts are allowed, the next one after $5
-- seconds, with all tasks but $8, which are done, and with $9. A job that was requested again meanwhile counts as a new job. A call
-- about an earlier attempt is late and changes nothing.
WITH failed AS (
    UPDATE immich_indexer.job SET
        worker = NULL,
        tasks = ARRAY(
            SELECT task FROM unnest(tasks) AS task
            UNION SELECT task FROM unnest(running) AS task WHERE task <> ALL ($8::text[])
            UNION SELECT unnest($9::text[]) ORDER BY task),
        running = '{}',
        error = $3,
        failed_at = now(),
        attempts = CASE WHEN generation = $6 THEN attempts ELSE 0 END,
        deaths = 0,
        dead = generation = $6 AND attempts >= $4,
        not_before = CASE WHEN generation = $6 THEN now() + make_interval(secs => $5) ELSE now() END
    WHERE asset_id = $2 AND worker = $1 AND attempts = $7
    RETURNING asset_id, priority, dead
), notified AS (
    SELECT pg_notify('immich_indexer_done', asset_id::text) FROM failed
    WHERE priority <= priority(request) AND pg_notification_queue_usage() < 0.5
)
SELECT dead FROM failed, (SELECT count(*) FROM notified) AS all_of_them;

-- name: release
-- Worker $1 releases job $2, claimed for attempt $6. The job waits for at least $4 seconds, for a reason $3 that is not caused by the
-- photo, and the attempt does not count. The tasks $5 are done, $7 are added. The generation is increased here and below, so that a
-- late call about this claim does not affect the next one.
UPDATE immich_indexer.job SET
    worker = NULL,
    generation = generation + 1,
    tasks = ARRAY(
        SELECT task FROM unnest(tasks) AS task
        UNION SELECT task FROM unnest(running) AS task WHERE task <> ALL ($5::text[])
        UNION SELECT unnest($7::text[]) ORDER BY task),
    running = '{}',
    attempts = greatest(attempts - 1, 0),
    failed_at = CASE WHEN error LIKE 'waits for the machine: %' THEN failed_at ELSE now() END,
    error = 'waits for the machine: ' || $3,
    not_before = now() + make_interval(secs => $4)
WHERE worker = $1 AND asset_id = $2 AND attempts = $6;

-- name: note
-- The jobs $2 of worker $1 cannot be written now, for reason $3.
UPDATE immich_indexer.job SET
    failed_at = CASE WHEN error LIKE 'waits for the machine: %' THEN failed_at ELSE now() END,
    error = 'waits for the machine: ' || $3
WHERE worker = $1 AND asset_id = ANY ($2::uuid[]);

-- name: release_all
-- Worker $1 releases all its jobs, except $2.
UPDATE immich_indexer.job SET
    worker = NULL,
    generation = generation + 1,
    tasks = ARRAY(SELECT DISTINCT task FROM unnest(tasks || running) AS task ORDER BY task),
    running = '{}',
    attempts = greatest(attempts - 1, 0),
    not_before = now()
WHERE worker = $1 AND asset_id <> ALL ($2::uuid[])
RETURNING asset_id;

-- name: heartbeat
-- Worker $1 is alive. No row: others thought that it was dead, so it must register again.
UPDATE immich_indexer.worker SET seen_at = clock_timestamp(), photos = $2, photos_per_minute = $3, polling = $4
WHERE id = $1 RETURNING id;

-- name: register
INSERT INTO immich_indexer.worker (id, name, version, device) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp();

-- name: unregister
DELETE FROM immich_indexer.worker WHERE id = $1;

-- name: engines
-- Worker $1 reports the state of its engines: $2.
INSERT INTO immich_indexer.state (key, value) VALUES ('engines ' || $1::uuid, $2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: forget_engines
-- Deletes the reports of workers that no longer exist.
DELETE FROM immich_indexer.state s
WHERE s.key LIKE 'engines %' AND NOT EXISTS (SELECT FROM immich_indexer.worker w WHERE s.key = 'engines ' || w.id);

-- name: others
-- The other workers, and when each was last seen.
SELECT id, seen_at FROM immich_indexer.worker WHERE id <> $1;

-- name: disconnect
-- Ends the connections of the workers $1, if each was still last seen at $2. A process that is frozen, or a machine that is gone, keeps
-- the locks of its transactions. No limit of PostgreSQL's ends a session that waits for the second part of a statement.
SELECT pg_terminate_backend(a.pid, 1000)
FROM unnest($1::uuid[], $2::timestamptz[]) AS silent (id, seen_at)
JOIN immich_indexer.worker w USING (id, seen_at)
JOIN pg_stat_activity a ON a.application_name = 'immich-indexer ' || silent.id
WHERE a.usename = current_user AND a.datname = current_database();

-- name: reap
-- Takes back the jobs of the workers $1, if each was still last seen at $2. The attempt counts, as the job may have killed the worker. So
-- it runs alone from now on, and is given up after $3 attempts. What was read from $4 seconds (null: nothing) before the last heartbeat of
-- one of them until $5 seconds after it is read again: its models may have been sick, and no probe of that worker will find it out.
WITH gone AS (
    DELETE FROM immich_indexer.worker w USING unnest($1::uuid[], $2::timestamptz[]) AS silent (id, seen_at)
    WHERE w.id = silent.id AND w.seen_at = silent.seen_at
    RETURNING w.id, w.seen_at
), unproven AS (
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority)
    SELECT p.asset_id,
           array_remove(ARRAY[CASE WHEN clip_model IS NOT NULL THEN 'clip!' END, CASE WHEN ocr_model IS NOT NULL THEN 'ocr!' END], NULL),
           priority(bulk)
    FROM immich_indexer.photo p
    WHERE EXISTS (SELECT FROM gone WHERE p.indexed_at BETWEEN seen_at - make_interval(secs => $4) AND seen_at + make_interval(secs => $5))
      AND NOT EXISTS (SELECT FROM immich_indexer.job j JOIN gone ON gone.id = j.worker WHERE j.asset_id = p.asset_id)
), orphaned AS (
    SELECT asset_id FROM immich_indexer.job
    WHERE worker IS NOT NULL
      AND (worker IN (SELECT id FROM gone) OR NOT EXISTS (SELECT FROM immich_indexer.worker w WHERE w.id = job.worker))
    ORDER BY asset_id FOR UPDATE SKIP LOCKED
)
UPDATE immich_indexer.job SET
    worker = NULL,
    tasks = ARRAY(SELECT DISTINCT task FROM unnest(tasks || running) AS task ORDER BY task),
    running = '{}',
    dead = attempts >= $3,
    deaths = deaths + 1,
    generation = generation + 1,
    failed_at = now(),
    error = 'the indexer died while it worked on this photo (attempt ' || attempts || ')',
    not_before = now()
FROM orphaned WHERE job.asset_id = orphaned.asset_id
RETURNING job.asset_id, job.dead;

-- name: retry
-- Revives dead letters, and ends the pause of jobs that wait for another attempt: all of them, or those in $1.
UPDATE immich_indexer.job SET dead = false, attempts = 0, not_before = now()
WHERE worker IS NULL AND (dead OR attempts > 0 OR not_before > now()) AND ($1::uuid[] IS NULL OR asset_id = ANY ($1))
RETURNING asset_id;

-- name: enqueue
-- Inserts requests for the photos $1, tasks $2, priority $3, and notifies the workers.
WITH requested AS (
    INSERT INTO immich_indexer.inbox (asset_id, tasks, priority) SELECT unnest($1::uuid[]), $2, $3 RETURNING 1
)
SELECT pg_notify('immich_indexer', '') FROM (SELECT count(*) FROM requested) AS all_of_them;

-- name: request
-- A person's request for the photos $1, tasks $2 (null: both). Returns how many photos will be read.
SELECT immich_indexer.reprocess_all($1::uuid[], $2::text[]);

-- name: request_once
-- The same for one photo, $1, from a message that every worker receives. Only the first worker with the message $3 within $4 seconds gets
-- a row.
WITH forgotten AS (
    DELETE FROM immich_indexer.heard WHERE at < now() - make_interval(secs => $4) AND message <> $3
), first AS (
    INSERT INTO immich_indexer.heard AS h (message) VALUES ($3)
    ON CONFLICT (message) DO UPDATE SET at = now() WHERE h.at < now() - make_interval(secs => $4)
    RETURNING 1
)
SELECT immich_indexer.reprocess_all(ARRAY[$1::uuid], $2::text[]) > 0 FROM first;

-- name: counts
SELECT count(*) FILTER (WHERE NOT dead AND worker IS NULL AND attempts = 0) AS waiting,
       count(*) FILTER (WHERE NOT dead AND worker IS NULL AND attempts > 0) AS retrying,
       count(*) FILTER (WHERE worker IS NOT NULL) AS running,
       count(*) FILTER (WHERE dead) AS dead,
       extract(epoch FROM now() - min(queued_at) FILTER (WHERE NOT dead))::float AS oldest_seconds,
       (SELECT count(*) FROM immich_indexer.inbox) AS inbox
FROM immich_indexer.job;

-- name: counts_of
-- The same for the photos of owner $1, outside of the trash and the locked folder.
WITH own AS (
    SELECT a.id FROM public.asset a WHERE a."ownerId" = $1 AND listed(a)
)
SELECT count(*) FILTER (WHERE NOT dead AND worker IS NULL AND attempts = 0) AS waiting,
       count(*) FILTER (WHERE NOT dead AND worker IS NULL AND attempts > 0) AS retrying,
       count(*) FILTER (WHERE worker IS NOT NULL) AS running,
       count(*) FILTER (WHERE dead) AS dead,
       extract(epoch FROM now() - min(queued_at) FILTER (WHERE NOT dead))::float AS oldest_seconds,
       (SELECT count(*) FROM immich_indexer.inbox JOIN own ON own.id = asset_id) AS inbox
FROM immich_indexer.job JOIN own ON own.id = asset_id;

-- name: failures
-- At most $1 failed jobs: of the photos of owner $2 outside of the trash and the locked folder, or (null) of all. A locked photo has no
-- name here.
SELECT j.asset_id, j.error, j.failed_at, j.attempts, j.dead, a."ownerId" AS owner,
       CASE WHEN a.visibility <> 'locked' THEN a."originalFileName" END AS file_name
FROM immich_indexer.job j LEFT JOIN public.asset a ON a.id = j.asset_id
WHERE j.error IS NOT NULL AND (j.dead OR j.attempts > 0 AND j.error NOT LIKE 'waits for the machine: %')
  AND ($2::uuid IS NULL
       OR a."ownerId" = $2 AND listed(a))
ORDER BY j.dead DESC, j.failed_at DESC LIMIT $1;

-- name: waiting
-- At most $1 reasons that jobs wait for and that are not caused by a photo, with how many photos and since when. Owners as in `failures`.
SELECT substr(j.error, 24) AS reason, count(*) AS photos, min(j.failed_at) AS since
FROM immich_indexer.job j LEFT JOIN public.asset a ON a.id = j.asset_id
WHERE NOT j.dead AND j.error LIKE 'waits for the machine: %'
  AND ($2::uuid IS NULL
       OR a."ownerId" = $2 AND listed(a))
GROUP BY 1 ORDER BY photos DESC, since LIMIT $1;

-- name: dead
-- Jobs that were given up, and why: all, or those in $1.
SELECT asset_id, error FROM immich_indexer.job WHERE dead AND ($1::uuid[] IS NULL OR asset_id = ANY ($1));

-- name: state
-- The state of photo $1's job. No row where nothing is to be done.
SELECT $1::uuid AS asset_id, j.error, j.failed_at, coalesce(j.attempts, 0) AS attempts, coalesce(j.dead, false) AS dead,
       j.worker IS NOT NULL AS running, i.requested
FROM (SELECT EXISTS (SELECT FROM immich_indexer.inbox WHERE asset_id = $1 AND tasks <> '{text}') AS requested) AS i
LEFT JOIN immich_indexer.job j ON j.asset_id = $1
WHERE i.requested OR j.asset_id IS NOT NULL;

-- name: workers
SELECT name, version, device, photos, photos_per_minute, polling, extract(epoch FROM clock_timestamp() - seen_at)::float AS seen_seconds,
       coalesce(s.value, '{}')::text AS engines
FROM immich_indexer.worker w LEFT JOIN immich_indexer.state s ON s.key = 'engines ' || w.id ORDER BY name;

-- name: wanting
-- For how many photos each part is wanted, their vector and their text, without those given up.
SELECT count(*) FILTER (WHERE tasks && '{clip,clip!}') AS clip, count(*) FILTER (WHERE tasks && '{ocr,ocr!}') AS ocr
FROM immich_indexer.job WHERE NOT dead;

-- name: judge
-- Whether jobs that were given up still have to be checked by this version's rules. No row: they were, or another worker does it now.
INSERT INTO immich_indexer.state (key, value) VALUES ('judged', '1') ON CONFLICT (key) DO NOTHING RETURNING key;

-- name: pending
-- Those of $1 that have a job, with their last failure.
SELECT asset_id, error, failed_at, attempts, dead FROM immich_indexer.job WHERE asset_id = ANY ($1::uuid[])
UNION ALL
SELECT asset_id, NULL, NULL, NULL, false FROM immich_indexer.inbox WHERE asset_id = ANY ($1::uuid[]);
