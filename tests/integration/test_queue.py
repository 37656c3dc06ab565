"""The queue's statements on a real database: what is wished for, who gets it, and what becomes of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from indexer.database import schema
from indexer.database.pool import Pool, connect_to_immich, open_pool
from indexer.database.statements import queries
from indexer.queue import backlog, requests
from indexer.queue.claims import LOOKS, Queue
from indexer.queue.jobs import Choice, Job, Priority
from indexer.queue.retries import Policy

TASKS = ("clip", "ocr")


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    connection = await connect_to_immich(database)
    await schema.install(connection)
    await connection.close()
    pool = await open_pool(database)
    yield pool
    pool.terminate()


@pytest.fixture
async def mine(pool: Pool) -> Queue:
    return await a_worker(pool)


async def a_worker(pool: Pool, max_attempts: int = 3) -> Queue:
    worker = Queue(pool, uuid4(), Policy(max_attempts=max_attempts, retry_seconds=0, lease_seconds=60))
    await worker.register("test", "0", "cpu")
    return worker


async def enqueue(pool: Pool, *assets: UUID, tasks=TASKS, priority=Priority.UPLOAD) -> None:
    await requests.enqueue(pool, assets, tasks, priority)


async def one_claimed(pool: Pool, worker: Queue, asset: UUID) -> Job:
    await enqueue(pool, asset)
    await worker.drain()
    (job,) = await worker.claim(10)
    return job


async def complete(pool: Pool, worker: Queue, jobs: list[Job]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        held = await worker.hold(connection, jobs)
        await worker.complete(connection, [job for job in jobs if job.asset_id in held])


async def rows(pool: Pool) -> dict[UUID, asyncpg.Record]:
    return {row["asset_id"]: row for row in await pool.fetch("SELECT * FROM immich_indexer.job")}


async def test_wishes_for_one_photo_become_one_job(pool, mine):
    asset = uuid4()
    await enqueue(pool, asset, tasks=["ocr"], priority=Priority.BACKFILL)
    await enqueue(pool, asset, tasks=["clip"], priority=Priority.REQUEST)
    await enqueue(pool, asset, tasks=["ocr"])
    assert await mine.drain() == 3
    (job,) = await mine.claim(10)
    assert (job.tasks, job.priority) == ({"clip", "ocr"}, Priority.REQUEST)
    assert await mine.claim(10) == []


async def test_a_wish_joins_the_job_that_waits(pool, mine):
    asset = uuid4()
    await enqueue(pool, asset, tasks=["ocr"], priority=Priority.BACKFILL)
    await mine.drain()
    before = (await rows(pool))[asset]
    await enqueue(pool, asset, tasks=["clip"], priority=Priority.UPLOAD)
    await mine.drain()
    after = (await rows(pool))[asset]
    assert (after["tasks"], after["priority"]) == (["clip", "ocr"], Priority.UPLOAD)
    assert after["generation"] == before["generation"] + 1
    assert after["queued_at"] == before["queued_at"], "who waits keeps its age"


async def test_a_completed_job_is_gone(pool, mine):
    job = await one_claimed(pool, mine, uuid4())
    await complete(pool, mine, [job])
    assert await rows(pool) == {}


async def test_a_photo_wished_for_while_it_was_processed_goes_round_again(pool, mine):
    asset = uuid4()
    job = await one_claimed(pool, mine, asset)
    await enqueue(pool, asset, tasks=["clip"])
    await mine.drain()
    assert await mine.claim(10) == [], "it is being processed"
    await complete(pool, mine, [job])
    (again,) = await mine.claim(10)
    assert (again.tasks, again.attempts) == ({"clip"}, 1), "what was not asked for again is done"
    await complete(pool, mine, [again])
    assert await rows(pool) == {}


async def test_the_most_urgent_comes_first_then_the_oldest(pool, mine):
    wanted = []
    for priority in (Priority.BACKFILL, Priority.UPLOAD, Priority.REQUEST):
        for _ in range(3):
            asset = uuid4()
            await enqueue(pool, asset, priority=priority)
            await mine.drain()
            wanted.append((priority, len(wanted), asset))
    claimed = []
    while jobs := await mine.claim(2):
        claimed += [job.asset_id for job in jobs]
    by_priority = [asset for _, _, asset in sorted(wanted)]
    assert [set(claimed[i : i + 3]) for i in (0, 3, 6)] == [set(by_priority[i : i + 3]) for i in (0, 3, 6)]


async def dies(pool: Pool, worker: Queue, witness: Queue) -> list[UUID]:
    """`worker` gives no more signs of life, until `witness` takes it for dead. Returns what it held."""
    for _ in range(LOOKS):
        assert await witness.reap() == [], "it may still live"
    return await witness.reap()


async def test_what_was_read_last_before_a_worker_died_is_read_again(pool, mine):
    """Each part that was read, unless the worker died of it; not what is older, nor what others read since."""
    dead = await a_worker(pool)
    parts = {"both": TASKS, "text": ("ocr",), "old": TASKS, "later": TASKS, "held": TASKS}
    photos = {name: uuid4() for name in parts}
    for name, asset in photos.items():
        await pool.execute(
            "INSERT INTO immich_indexer.photo (asset_id, preview_updated_at, digest, clip_model, ocr_model, indexed_at)"
            " VALUES ($1, now(), '', $2, $3, now() + make_interval(secs => $4))",
            asset,
            *("a model" if part in parts[name] else None for part in TASKS),
            {"old": -400.0, "later": 70.0}.get(name, -300.0),
        )
    await one_claimed(pool, dead, photos["held"])
    for _ in range(LOOKS + 1):
        held = await mine.reap(360)
    assert held == [photos["held"]]
    await mine.drain()
    [alone] = await mine.claim(10)
    assert (alone.asset_id, alone.alone, alone.attempts) == (photos["held"], True, 2), "it is still suspected"
    found = {job.asset_id: (job.tasks, job.priority) for job in await mine.claim(10)}
    assert found == {
        photos["both"]: ({"clip!", "ocr!"}, Priority.BULK),
        photos["text"]: ({"ocr!"}, Priority.BULK),
    }


async def test_a_job_that_a_worker_died_of_runs_alone(pool, mine):
    bad, *good = assets = [uuid4() for _ in range(4)]
    dying = await a_worker(pool)
    await enqueue(pool, bad)
    await mine.drain()
    (job,) = await dying.claim(1)
    assert not job.alone
    assert await dies(pool, dying, mine) == [bad]
    await enqueue(pool, *good)
    await mine.drain()
    batches = []
    while jobs := await mine.claim(10):
        batches.append([job.asset_id for job in jobs])
        assert all(job.alone == (job.asset_id == bad) for job in jobs)
    assert [bad] in batches
    assert sorted(asset for batch in batches for asset in batch) == sorted(assets)


async def test_jobs_that_failed_are_tried_again_together(pool, mine):
    assets = [uuid4() for _ in range(4)]
    await enqueue(pool, *assets)
    await mine.drain()
    for _ in range(2):
        jobs = await mine.claim(10)
        assert {job.asset_id for job in jobs} == set(assets)
        assert not any(job.alone for job in jobs)
        for job in jobs:
            assert not await mine.fail(job, "a corrupt file")


async def test_what_failed_after_a_worker_had_died_of_it_runs_with_others_again(pool, mine):
    dying = await a_worker(pool)
    await one_claimed(pool, dying, uuid4())
    await dies(pool, dying, mine)
    (job,) = await mine.claim(10)
    assert not await mine.fail(job, "a corrupt file, which killed nobody")
    (job,) = await mine.claim(10)
    assert not job.alone


async def test_a_part_that_is_done_is_not_tried_again(pool, mine):
    await enqueue(pool, uuid4(), tasks=["clip!", "ocr", "text"])
    await mine.drain()
    (job,) = await mine.claim(1)
    assert not await mine.fail(job, "no text", done={"clip!", "text"})
    (job,) = await mine.claim(1)
    assert (job.tasks, job.attempts) == ({"ocr"}, 2)


async def test_what_comes_late_does_not_count(pool, mine):
    """Said of an earlier claim, over a connection that was given up and thawed: this worker holds the same job anew."""
    asset = uuid4()
    late = await one_claimed(pool, mine, asset)
    assert not await mine.fail(late, "a reason")
    (job,) = await mine.claim(1)
    assert not await mine.fail(late, "the same once more")
    assert (await rows(pool))[asset]["worker"] == mine.worker

    await enqueue(pool, asset, tasks=["clip!"], priority=Priority.REQUEST)
    await mine.drain()
    asked = await mine.asked_meanwhile([asset])
    await mine.release_all()
    (job,) = await mine.claim(1)
    await enqueue(pool, asset, tasks=["ocr!"], priority=Priority.REQUEST)
    await mine.drain()
    assert await mine.promote(asked) == [], "what this would take is taken by nobody"
    await complete(pool, mine, [job])
    (job,) = await mine.claim(1)
    assert job.tasks == {"ocr!"}


async def test_a_claim_of_a_worker_that_is_not_there_gets_nothing(pool, mine):
    """It ended, or others took it for dead: what it claimed now would be taken for what killed it."""
    await enqueue(pool, uuid4(), priority=Priority.REQUEST)
    await mine.drain()
    await mine.unregister()
    assert await mine.claim(1) == []
    assert await mine.claim_requests(1) == []
    await mine.register("test", "0", "cpu")
    assert len(await mine.claim(1)) == 1


async def test_a_job_that_fails_waits_longer_each_time_and_is_given_up(pool):
    worker = await a_worker(pool, max_attempts=3)
    worker.policy = Policy(max_attempts=3, retry_seconds=100, lease_seconds=60)
    asset = uuid4()
    job = await one_claimed(pool, worker, asset)
    pauses = []
    while not await worker.fail(job, f"failure {job.attempts}"):
        pauses.append(
            await pool.fetchval("SELECT extract(epoch FROM not_before - failed_at)::float FROM immich_indexer.job")
        )
        assert await worker.claim(1) == []
        await pool.execute("UPDATE immich_indexer.job SET not_before = now()")
        (job,) = await worker.claim(1)
    assert pauses == [100, 200]
    assert await worker.claim(1) == []
    (failure,) = await backlog.failures(pool)
    assert (failure.asset_id, failure.error, failure.attempts, failure.dead) == (asset, "failure 3", 3, True)
    assert (await backlog.counts(pool)).dead == 1


@pytest.mark.parametrize("attempts", [1, 2, 10, 1000])
def test_the_pause_has_a_limit(attempts):
    policy = Policy(max_attempts=9, retry_seconds=15, lease_seconds=60, longest_pause=600)
    assert policy.pause(attempts) == min(15 * 2 ** (attempts - 1), 600)


async def give_up(pool: Pool, worker: Queue, asset: UUID) -> None:
    job = await one_claimed(pool, worker, asset)
    while not await worker.fail(job, "no good"):
        (job,) = await worker.claim(1)


async def test_a_new_event_revives_what_was_given_up(pool, mine):
    asset = uuid4()
    await give_up(pool, mine, asset)
    await enqueue(pool, asset, tasks=["clip"])
    await mine.drain()
    (job,) = await mine.claim(10)
    assert (job.tasks, job.attempts) == ({"clip", "ocr"}, 1)
    await complete(pool, mine, [job])
    assert await backlog.failures(pool) == []


async def test_retry_revives_all_or_those_named(pool, mine):
    assets = [uuid4() for _ in range(3)]
    for asset in assets:
        await give_up(pool, mine, asset)
    assert await requests.retry(pool, assets[:1]) == assets[:1]
    assert await requests.retry(pool, assets[:1]) == []
    assert set(await requests.retry(pool)) == set(assets[1:])
    assert {job.asset_id for job in await mine.claim(10)} == set(assets)


async def test_retry_ends_the_pause_of_one_that_waits(pool, mine):
    waiting = await one_claimed(pool, mine, uuid4())
    mine.policy = Policy(max_attempts=3, retry_seconds=1000, lease_seconds=60)
    assert not await mine.fail(waiting, "a reason")
    assert await mine.claim(10) == []
    held = await one_claimed(pool, mine, uuid4())
    assert await requests.retry(pool) == [waiting.asset_id]
    (job,) = await mine.claim(10)
    assert (job.asset_id, job.attempts) == (waiting.asset_id, 1)
    assert (await rows(pool))[held.asset_id]["worker"] == mine.worker


async def test_what_fails_after_a_new_event_starts_afresh(pool):
    worker = await a_worker(pool, max_attempts=1)
    asset = uuid4()
    job = await one_claimed(pool, worker, asset)
    await enqueue(pool, asset, tasks=["text"])
    await worker.drain()
    assert not await worker.fail(job, "the old preview was bad")
    (again,) = await worker.claim(1)
    assert (again.tasks, again.attempts) == ({"clip", "ocr", "text"}, 1)


async def test_what_is_given_back_was_never_tried(pool, mine):
    job = await one_claimed(pool, mine, uuid4())
    for _ in range(5):
        await mine.release(job, "a disk is away", 0)
        (job,) = await mine.claim(1)
        assert (job.attempts, job.tasks) == (1, {"clip", "ocr"})
    await mine.release(job, "a disk is away", 60, done={"clip"}, left={"text"})
    assert await mine.claim(1) == []
    assert (await backlog.counts(pool)).waiting == 1
    assert await backlog.failures(pool) == []
    (waiting,) = await backlog.waiting(pool)
    assert (waiting.reason, waiting.photos) == ("a disk is away", 1)
    await requests.retry(pool)
    (again,) = await mine.claim(1)
    assert again.tasks == {"ocr", "text"}


async def test_what_nobody_can_do_now_is_left_to_whoever_tries_it(pool, mine):
    half, whole = uuid4(), uuid4()
    job = await one_claimed(pool, mine, half)
    await mine.release(job, "the CLIP model failed", 0, done={"ocr"})
    await enqueue(pool, whole)
    await mine.drain()
    no_clip = frozenset({"clip", "clip!"})
    (other,) = await mine.claim(10, Choice(without=no_clip))
    assert other.asset_id == whole, "its text can be read"
    await mine.release(other, "the CLIP model failed", 0)
    everything = frozenset({"clip", "clip!", "ocr", "ocr!"})
    assert await mine.claim(10, Choice(without=everything, strictly=True)) == []
    (tries,) = await mine.claim(1, Choice(wanting=no_clip))
    assert tries.asset_id in {half, whole}
    assert len(await mine.claim(10)) == 1


async def test_nobody_is_taken_for_dead_while_nobody_can_give_a_sign_of_life(pool, mine):
    other = await a_worker(pool)
    job = await one_claimed(pool, other, uuid4())
    for _ in range(LOOKS):
        await mine.reap()
    await pool.execute(
        """CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'read-only'; END $$;
           CREATE TRIGGER fails BEFORE UPDATE ON immich_indexer.worker FOR EACH ROW EXECUTE FUNCTION fails()"""
    )
    with pytest.raises(asyncpg.PostgresError):
        await mine.heartbeat(0, 0, False)
    for _ in range(LOOKS):
        assert await mine.reap() == []
    assert await mine.reap() == [job.asset_id]


async def test_everything_but_what_one_knows_of_is_given_back(pool, mine):
    await enqueue(pool, *(uuid4() for _ in range(4)))
    await mine.drain()
    known, *lost = await mine.claim(4)
    assert await mine.release_all(but=[known]) == 3
    other = await a_worker(pool)
    assert {job.asset_id for job in await other.claim(10)} == {job.asset_id for job in lost}
    assert await mine.release_all() == 1


async def test_the_jobs_of_the_dead_come_back_and_count(pool, mine):
    dead = await a_worker(pool)
    asset = uuid4()
    for attempt in (1, 2, 3):
        if attempt == 1:
            await one_claimed(pool, dead, asset)
        else:
            await dead.register("test", "0", "cpu")
            (job,) = await dead.claim(1)
            assert job.attempts == attempt
        assert await dies(pool, dead, mine) == [asset]
        assert not await dead.heartbeat(0, 0, False), "it must learn that it lost its lease"
    assert await mine.claim(1) == []
    (failure,) = await backlog.failures(pool)
    assert failure.dead
    assert "died" in failure.error


async def test_the_jobs_of_one_who_left_no_trace_come_back(pool, mine):
    gone = await a_worker(pool)
    job = await one_claimed(pool, gone, uuid4())
    await gone.unregister()
    assert await mine.reap() == [job.asset_id]


async def test_a_database_that_stalls_makes_nobody_dead(pool, mine):
    """Nobody could give a sign of life meanwhile; whoever wakes first must not take the jobs of all others."""
    others = [await a_worker(pool) for _ in range(3)]
    for other in others:
        await one_claimed(pool, other, uuid4())
    await pool.execute("UPDATE immich_indexer.worker SET seen_at = now() - interval '1 hour'")
    assert await mine.reap() == []
    for other in others:
        assert await other.heartbeat(0, 0, False)
    for _ in range(LOOKS):
        assert await mine.reap() == []
    assert {row["attempts"] for row in (await rows(pool)).values()} == {1}


async def test_one_who_gives_a_sign_of_life_is_not_dead(pool, mine):
    other = await a_worker(pool)
    await one_claimed(pool, other, uuid4())
    for _ in range(3):
        for _ in range(LOOKS):
            assert await mine.reap() == []
        assert await other.heartbeat(0, 0, False)


async def test_nobody_takes_himself_for_dead(pool, mine):
    """After a laptop's sleep every lease is over, also one's own."""
    job = await one_claimed(pool, mine, uuid4())
    for _ in range(2 * LOOKS):
        assert await mine.reap() == []
    assert await mine.heartbeat(0, 0, False)
    await complete(pool, mine, [job])
    assert await rows(pool) == {}


async def test_one_who_lost_his_jobs_holds_nothing(pool, mine):
    other = await a_worker(pool)
    job = await one_claimed(pool, mine, uuid4())
    await dies(pool, mine, other)
    (taken,) = await other.claim(1)
    async with pool.acquire() as connection, connection.transaction():
        assert await mine.hold(connection, [job]) == set()
    await complete(pool, mine, [job])
    assert not await mine.fail(job, "too late")
    await mine.release(job, "too late", 0)
    assert (await rows(pool))[job.asset_id]["worker"] == other.worker
    await complete(pool, other, [taken])
    assert await rows(pool) == {}


async def test_two_who_claim_at_once_never_get_the_same(pool, mine):
    assets = [uuid4() for _ in range(200)]
    await enqueue(pool, *assets)
    await mine.drain()
    other = await a_worker(pool)
    batches = await asyncio.gather(*(worker.claim(7) for _ in range(20) for worker in (mine, other)))
    claimed = [job.asset_id for batch in batches for job in batch]
    assert len(claimed) == len(set(claimed))
    while jobs := await mine.claim(50):
        claimed += [job.asset_id for job in jobs]
    assert sorted(claimed) == sorted(assets)


async def test_a_row_that_somebody_locked_is_passed_over(pool, mine):
    locked, free = uuid4(), uuid4()
    await enqueue(pool, locked)
    await enqueue(pool, free)
    await mine.drain()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM immich_indexer.job WHERE asset_id = $1 FOR UPDATE", locked)
        assert [job.asset_id for job in await mine.claim(10)] == [free]
    assert [job.asset_id for job in await mine.claim(10)] == [locked]


async def test_two_who_fold_at_once_lose_no_wish(pool, mine):
    assets = [uuid4() for _ in range(100)]
    other = await a_worker(pool)
    for tasks in (["clip"], ["ocr"]) * 10:
        await enqueue(pool, *assets, tasks=tasks)
    taken = sum(await asyncio.gather(*(worker.drain(97) for _ in range(12) for worker in (mine, other))))
    while more := await mine.drain():
        taken += more
    assert taken == 20 * len(assets)
    found = await rows(pool)
    assert set(found) == set(assets)
    assert all(row["tasks"] == ["clip", "ocr"] for row in found.values())


async def test_a_large_inbox_folds(pool, mine):
    await pool.execute(
        "INSERT INTO immich_indexer.inbox SELECT gen_random_uuid(), '{clip,ocr}', 10 FROM generate_series(1, 100000)"
    )
    folded = 0
    while taken := await mine.drain():
        assert taken <= 10_000
        folded += taken
    assert folded == 100_000
    assert (await backlog.counts(pool)).waiting == 100_000


async def test_a_claim_reads_the_index_and_little_else(pool, mine):
    await pool.execute(
        "INSERT INTO immich_indexer.job (asset_id, tasks, priority, dead, not_before)"
        " SELECT gen_random_uuid(), '{clip}', 20, i % 10 = 0, now() - i * interval '1 ms'"
        " FROM generate_series(1, 100000) AS i"
    )
    await pool.execute("ANALYZE immich_indexer.job")
    async with pool.acquire() as connection, connection.transaction():
        explained = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {queries('queue')['claim']}", mine.worker, 8, [], False, None
        )
    nodes = list(plan_nodes(json.loads(explained)[0]["Plan"]))
    (scan,) = [node for node in nodes if node.get("Index Name") == "job_ready"]
    assert scan["Actual Rows"] <= 8
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]


def plan_nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from plan_nodes(child)


async def test_counts_and_workers_say_what_is_going_on(pool, mine):
    assert await backlog.counts(pool) == backlog.Counts(0, 0, 0, 0, 0, None)
    await enqueue(pool, uuid4(), uuid4(), uuid4())
    assert (await backlog.counts(pool)).inbox == 3
    await mine.drain()
    failed, running = await mine.claim(2)
    await mine.fail(failed, "a reason")
    counts = await backlog.counts(pool)
    assert (counts.waiting, counts.retrying, counts.running, counts.dead, counts.inbox) == (1, 1, 1, 0, 0)
    assert counts.oldest_seconds >= 0
    assert set(await backlog.pending(pool, [failed.asset_id, running.asset_id, uuid4()])) == {
        failed.asset_id,
        running.asset_id,
    }
    await mine.heartbeat(12, 34.5, True)
    (worker,) = await backlog.workers(pool)
    assert (worker.name, worker.photos, worker.photos_per_minute, worker.polling) == ("test", 12, 34.5, True)
