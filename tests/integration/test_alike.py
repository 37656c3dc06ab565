"""Photos like a photo: by what they show, by what they say, and to whom."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest

from indexer.database.pool import Pool, open_pool
from indexer.demo.immich import StandIn
from indexer.search import alike
from indexer.search.alike import Alike, By
from indexer.search.viewer import Viewer, viewer
from tests.conftest import immich_2_and_3
from tests.integration.test_fact_search import follow, say
from tests.integration.test_search import Spy
from tests.support import stubs
from tests.support.gateways import text_vector
from tests.support.installs import install

Connection = asyncpg.Connection
INVOICE = ("增值税专用发票", "发票代码 011002100411", "购买方 上海某某贸易有限公司")


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    await install(database)
    pool = await open_pool(database, size=3)
    yield pool
    pool.terminate()


async def photo_of(pool: Pool, immich: StandIn, owner: UUID, *lines: str, like: float | None = None) -> UUID:
    """A photo with these lines, and a vector at that cosine to that of "日落"."""
    photo = await immich.upload(stubs.picture(1), owner=owner)
    await follow(pool)
    await say(pool, photo, *lines)
    if like is not None:
        towards, noise = text_vector("日落"), text_vector(str(photo))
        noise -= (noise @ towards) * towards
        vector = like * towards + (1 - like**2) ** 0.5 * noise / np.linalg.norm(noise)
        await immich.immich_clip_job(photo, vector.tolist())
    return photo


async def found(pool: Pool, photo: UUID, user: UUID, by: By, **page: int) -> Alike | None:
    return await alike.alike(pool, photo, await viewer(pool, user), by, **page)


async def ids(pool: Pool, photo: UUID, user: UUID, by: By, **page: int) -> list[UUID]:
    answer = await found(pool, photo, user, by, **page)
    assert answer is not None
    assert answer.missing is None
    return [item.asset_id for item in answer.items]


@immich_2_and_3
async def test_by_meaning(pool: Pool, immich: StandIn, owner: UUID):
    sunset, far, near = [await photo_of(pool, immich, owner, like=like) for like in (1.0, 0.3, 0.8)]
    without = await photo_of(pool, immich, owner)
    assert await ids(pool, sunset, owner, "meaning") == [near, far]
    assert await ids(pool, sunset, owner, "meaning", limit=1) == [near]
    assert await ids(pool, sunset, owner, "meaning", limit=1, offset=1) == [far]
    answer = await found(pool, sunset, owner, "meaning", limit=1)
    assert answer is not None
    assert answer.more
    assert (answer.items[0].kind, answer.items[0].text) == ("meaning", "")
    assert answer.items[0].score == pytest.approx(0.8, abs=0.01)
    assert await found(pool, without, owner, "meaning") == Alike("IMG_0001.jpg", [], missing="vector")


async def test_our_own_vector_counts_where_there_is_one(pool: Pool, immich: StandIn, owner: UUID):
    sunset, near, far = [await photo_of(pool, immich, owner, like=like) for like in (0.0, 0.9, 0.1)]
    vector = str(text_vector("日落").tolist())
    await pool.execute("UPDATE immich_indexer.photo SET clip = $2::text::halfvec WHERE asset_id = $1", sunset, vector)
    assert await ids(pool, sunset, owner, "meaning") == [near, far]


async def test_by_words(pool: Pool, immich: StandIn, owner: UUID):
    invoice = await photo_of(pool, immich, owner, *INVOICE)
    same = await photo_of(pool, immich, owner, "增值税专用发票", "发票代码 011002100411", "购买方 北京分公司")
    less = await photo_of(pool, immich, owner, "停车收费", "上海某某贸易有限公司")
    await photo_of(pool, immich, owner, "停车场入口")
    assert await ids(pool, invoice, owner, "words") == [same, less]
    answer = await found(pool, invoice, owner, "words")
    assert answer is not None
    assert [item.text for item in answer.items] == [
        "增值税专用发票\n发票代码 011002100411\n购买方 北京分公司",
        "上海某某贸易有限公司",
    ]
    assert [item.kind for item in answer.items] == ["text", "text"]
    assert await ids(pool, less, owner, "words") == [invoice]


async def test_what_has_nothing_to_compare(pool: Pool, immich: StandIn, owner: UUID):
    silent = await photo_of(pool, immich, owner, "")
    unread = await immich.upload(stubs.picture(1), owner=owner)
    await follow(pool)
    for photo, missing in ((silent, "text"), (unread, "reading")):
        answer = await found(pool, photo, owner, "words")
        assert answer is not None
        assert (answer.items, answer.missing) == ([], missing)


async def test_common_pieces_do_not_hide_the_rare(pool: Pool, immich: StandIn, owner: UUID):
    """Newer photos with a common piece are more than are looked at in a round."""
    rare = await photo_of(pool, immich, owner, "有限公司", "北冰洋汽水")
    for _ in range(12):
        await photo_of(pool, immich, owner, "有限公司")
    photo = await photo_of(pool, immich, owner, "有限公司", "北冰洋汽水")
    assert (await ids(pool, photo, owner, "words", block=5))[0] == rare


@immich_2_and_3
@pytest.mark.parametrize("by", ["meaning", "words"])
async def test_who_is_shown_what(pool: Pool, immich: StandIn, owner: UUID, by: By):
    bob, eve = await immich.create_user("bob"), await immich.create_user("eve")
    mine, other, archived, locked, trashed = [
        await photo_of(pool, immich, owner, *INVOICE, like=like) for like in (0.9, 0.8, 0.7, 0.6, 0.5)
    ]
    his, hers = [await photo_of(pool, immich, user, *INVOICE, like=0.85) for user in (bob, eve)]
    await immich.archive(archived)
    await immich.lock(locked)
    await immich.trash(trashed)
    await immich.share(owner, bob)
    in_archive = {archived} if (await viewer(pool, owner)).archived else set()
    assert set(await ids(pool, mine, owner, by)) == {other} | in_archive
    assert set(await ids(pool, mine, bob, by)) == {other, his}
    assert set(await ids(pool, his, bob, by)) == {mine, other}
    assert await ids(pool, hers, eve, by) == []
    hidden = ((mine, eve), (his, owner), (archived, bob), (locked, owner), (trashed, owner), (uuid4(), owner))
    for photo, user in hidden:
        assert await found(pool, photo, user, by) is None


async def test_a_strangers_photos_change_neither_order_nor_score(pool: Pool, immich: StandIn, owner: UUID):
    photo = await photo_of(pool, immich, owner, *INVOICE)
    for lines in (INVOICE[:1], INVOICE[1:], INVOICE[2:]):
        await photo_of(pool, immich, owner, *lines)
    before = await found(pool, photo, owner, "words")
    eve = await immich.create_user("eve")
    for _ in range(6):
        await photo_of(pool, immich, eve, INVOICE[0])
    assert await found(pool, photo, owner, "words") == before


async def test_the_plan_scans_no_table(pool: Pool, connection: Connection):
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        """WITH photo AS (
               INSERT INTO immich_indexer.photo (asset_id, document)
               SELECT gen_random_uuid(), array_to_tsvector(ARRAY['发票', ' o00000000', ' 32/600', 'w' || n])
               FROM generate_series(1, 20000) n RETURNING asset_id)
           INSERT INTO asset (id, "ownerId", type, "originalPath", "originalFileName", checksum, "fileCreatedAt",
               "fileModifiedAt", "localDateTime", "checksumAlgorithm")
           SELECT asset_id, asset_id, 'IMAGE', '', '', '', now(), now(), now(), 'sha1' FROM photo"""
    )
    user, spy = UUID(int=1), Spy(connection)
    for _ in range(2):
        await alike.sharing(spy, UUID(int=2), Viewer(user, (user,)), ["发票"])  # type: ignore[arg-type]
        await connection.execute("ANALYZE")
    for plan in spy.plans:
        assert "Seq Scan on" not in plan, plan
        assert "Bitmap Index Scan on photo_document" in plan, plan
