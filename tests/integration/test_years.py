"""How many photos match, by year, and for whom; and filters beside words."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from indexer.database.pool import Pool, open_pool
from indexer.demo.immich import StandIn
from indexer.search import hybrid, years
from indexer.search.hybrid import Mode, SearchRequest
from indexer.search.viewer import Viewer, viewer
from indexer.text import tokens
from tests.integration.test_fact_search import follow, say
from tests.integration.test_search import Spy
from tests.support import stubs
from tests.support.installs import install

Connection = asyncpg.Connection


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    await install(database)
    pool = await open_pool(database, size=3)
    yield pool
    pool.terminate()


async def photo_of(pool: Pool, immich: StandIn, owner: UUID, year: int, *lines: str) -> UUID:
    photo = await immich.upload(stubs.picture(1), owner=owner, taken_at=datetime(year, 5, 1, 12, tzinfo=UTC))
    await follow(pool)
    await say(pool, photo, *lines)
    return photo


def request(text: str, *filters: str, mode: Mode = "hybrid", **times: datetime) -> SearchRequest:
    return SearchRequest.parse(text, mode, filters=filters, **times)


async def counted(pool: Pool, user: UUID, wanted: SearchRequest, **options: int) -> dict[int, int]:
    found = await years.years(pool, wanted, await viewer(pool, user), **options)
    assert found == sorted(found, key=lambda year: -year.year)
    return {year.year: year.photos for year in found}


async def found(pool: Pool, user: UUID, wanted: SearchRequest) -> set[UUID]:
    page = await hybrid.search(pool, wanted, await viewer(pool, user), None, weight=0.5)
    return {item.asset_id for item in page.items}


async def test_years(pool: Pool, immich: StandIn, owner: UUID):
    for year in (2019, 2024, 2024, 1958):
        await photo_of(pool, immich, owner, year, "增值税专用发票")
    await photo_of(pool, immich, owner, 2023, "专用的发票")
    long = await photo_of(pool, immich, owner, 2022, "x")
    document = tokens.document(["发票" * 20_000, "增值税专用发票"])
    assert document.overflow
    await pool.execute(
        "UPDATE immich_indexer.photo SET overflow = $3, document = ($2 || ' ' || document::text)::tsvector"
        " WHERE asset_id = $1",
        long,
        document.ngrams,
        document.overflow,
    )
    assert await counted(pool, owner, request("专用发票")) == {2024: 2, 2022: 1, 2019: 1, 1958: 1}
    assert await counted(pool, owner, request("专用发票"), most=1) == {2024: 1, 2022: 1, 2019: 1, 1958: 1}
    assert await counted(pool, owner, request("发票 -专用发票")) == {2023: 1}
    assert await counted(pool, owner, request("发票", "date:2019..2023")) == {2023: 1, 2022: 1, 2019: 1}
    assert await counted(pool, owner, request("发票", after=datetime(2024, 1, 1, tzinfo=UTC))) == {2024: 2}
    for wanted in (request("没有"), request("发票", mode="clip"), request(",")):
        assert await counted(pool, owner, wanted) == {}


async def test_whose_photos_count(pool: Pool, immich: StandIn, owner: UUID, immich_version: str):
    bob, eve = await immich.create_user("bob"), await immich.create_user("eve")
    mine, archived, locked = [await photo_of(pool, immich, owner, 2024, "发票") for _ in range(3)]
    await photo_of(pool, immich, bob, 2023, "发票")
    await immich.tag(mine, "旅行")
    await follow(pool)
    await immich.archive(archived)
    await immich.lock(locked)
    await immich.share(owner, bob)
    of_both = 1 if immich_version == "2.7" else 2  # which finds no archived photos
    assert await counted(pool, owner, request("发票")) == {2024: of_both}
    assert await counted(pool, bob, request("发票")) == {2024: 1, 2023: 1}
    assert await counted(pool, eve, request("发票")) == {}
    assert await counted(pool, owner, request("", "tag:旅行")) == {2024: 1}
    assert await counted(pool, bob, request("", "tag:旅行")) == {}


async def test_filters(pool: Pool, immich: StandIn, owner: UUID):
    one, two = [await photo_of(pool, immich, owner, year, "发票 停车") for year in (2023, 2024)]
    for photo, names in ((one, ("张三", "李四")), (two, ("张三",))):
        for name in names:
            await immich.name_person(owner, await immich.recognise(photo), name)
    await follow(pool)
    assert await found(pool, owner, request("发票", "person:张三")) == {one, two}
    assert await found(pool, owner, request("发票", "person:张三", "人物:李四")) == {one}
    assert await found(pool, owner, request("发票", "-person:李四")) == {two}
    assert await found(pool, owner, request("ocr:停车", "date:2024")) == {two}
    assert await found(pool, owner, request("", "person:张三", "date:..2023")) == {one}
    assert await found(pool, owner, request("", "person:张三", mode="clip")) == {one, two}
    assert await found(pool, owner, request("没有", "person:张三")) == set()


def test_what_is_meant_does_not_depend_on_filters():
    assert request("日落", "person:张三").meant == "日落"
    assert request("日落", "person:张三", mode="clip").meant == "日落"
    assert request("日落", "-person:张三").meant == "", "as in the text: a vector cannot leave anything out"
    assert request("", "person:张三").meant == ""
    assert request("日落", "person:张三").filter


async def test_the_plan_scans_no_table(pool: Pool, connection: Connection):
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        """WITH photo AS (
               INSERT INTO immich_indexer.photo (asset_id, document)
               SELECT gen_random_uuid(), array_to_tsvector(ARRAY['票', ' +票', ' o00000000', ' =2024', 'w' || n])
               FROM generate_series(1, 20000) n RETURNING asset_id)
           INSERT INTO asset (id, "ownerId", type, "originalPath", "originalFileName", checksum, "fileCreatedAt",
               "fileModifiedAt", "localDateTime", "checksumAlgorithm")
           SELECT asset_id, asset_id, 'IMAGE', '', '', '', now(), now(), now(), 'sha1' FROM photo"""
    )
    await connection.execute("INSERT INTO immich_indexer_2.place SELECT 'w' || n FROM generate_series(1, 20000) n")
    user, spy = UUID(int=1), Spy(connection)
    for _ in range(2):
        for text in ("票", "发票 张三", "票 -狗"):
            await years.years(spy, request(text), Viewer(user, (user,)))  # type: ignore[arg-type]
        await connection.execute("ANALYZE")
    for plan in spy.plans:
        assert "Seq Scan on" not in plan, plan
        assert "Bitmap Index Scan on photo_document" in plan or "place_pkey" in plan, plan
