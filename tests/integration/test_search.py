"""Finding photos by what is written in them, in a real database."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.database.pool import Pool, connect_to_immich
from indexer.demo.immich import StandIn
from indexer.errors import QueryError
from indexer.photos import results
from indexer.photos.lines import StoredLine, dump_lines
from indexer.search import words
from indexer.search.words import Scope
from indexer.text import tokens
from indexer.text.query import Query
from indexer.work.reconcile import Reconciler
from tests.support.installs import install

Connection = asyncpg.Connection
Write = Callable[..., Awaitable[UUID]]
NOW = datetime.now(UTC)


@pytest.fixture
async def own(database: str) -> AsyncIterator[Connection]:
    """A connection of ours, the schema installed."""
    await install(database)
    connection = await connect_to_immich(database)
    yield connection
    await connection.close()


@pytest.fixture
def write(own: Connection, immich: StandIn, owner: UUID) -> Write:
    """Makes a photo that was read: these lines, one below the other."""

    async def write(*lines: str, height: float = 0.03, owner: UUID = owner, **asset: Any) -> UUID:
        photo = await immich.receive(owner=owner, **asset)
        boxes = [
            StoredLine(line, (0.1, 0.1 * n, 0.9, 0.1 * n, 0.9, 0.1 * n + height, 0.1, 0.1 * n + height), 0.9, 0.9)
            for n, line in enumerate(lines)
        ]
        await own.execute(
            """INSERT INTO immich_indexer.photo (asset_id, preview_updated_at, digest, lines, ocr_model)
               VALUES ($1, now(), '', $2, 'stub')""",
            photo,
            dump_lines(boxes),
        )
        async with own.transaction():
            await results.apply(own, [photo])
        return photo

    return write


async def ids(own: Connection, text: str, **options: Any) -> list[UUID]:
    return [hit.asset_id for hit in await words.search(own, text, **options)]


# What matches


@pytest.mark.parametrize(
    "query",
    [
        "发票",
        "發票",
        "值",
        "值税专用",
        "NO123",
        "o12",
        "ｎｏ１２３",
        "发票 合计",
        "合计：88",
        "8",
        "88.00",
        "发票 -餐饮",
        "“专用發票 no”",
        "informatio -别",
    ],
)
async def test_any_piece_finds_it(own: Connection, write: Write, query: str):
    photo = await write("增值税专用发", "票 NO1234", "合计：88.00元", "some informa-", "tion")
    await write("别的", "发", "餐饮票据")
    [hit] = await words.search(own, query)
    assert (hit.asset_id, hit.file_name, hit.forgiven) == (photo, "IMG_0001.jpg", False)
    assert hit.text.startswith("增值税专用发\n票")


@pytest.mark.parametrize("query", ["", "。！ ' & :* <->", "发票合计 没有的", '"合计 发票"', "发票 -合计", "124"])
async def test_what_is_not_there_finds_nothing(own: Connection, write: Write, query: str):
    await write("发票", "NO123", "合计")
    assert await ids(own, query) == []


async def test_only_an_exclusion_is_an_error(own: Connection):
    with pytest.raises(QueryError, match="what to look for"):
        await words.search(own, "-发票")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60) | st.text(st.sampled_from("发票甲a1 '\"\\&|!():*<->-"), max_size=30))
async def test_nothing_that_is_typed_breaks_it(own: Connection, text: str):
    try:
        assert await words.search(own, text) == []
    except QueryError:
        assert text


@pytest.mark.parametrize(
    "lines",
    [
        ["哈" * 300 + "甲乙丙", "丁"],  # more places of one pair than a tsvector holds
        ["".join(chr(0x4E00 + n % 4000) for n in range(17_000)) + "哈哈甲乙丙", "丁"],  # and beyond its last place
    ],
    ids=["repetitive", "long"],
)
async def test_texts_too_long_for_a_tsvector(own: Connection, write: Write, lines: list[str]):
    photo = await write(*lines)
    await write("别的")
    for there in ("甲乙丙", "哈哈甲", "丙丁", "哈", "哈哈甲乙 丁"):
        assert await ids(own, there) == [photo], there
    for absent in ("丙甲", "乙哈", "甲乙丙 -丙丁", "甲丙乙哈哈哈"):
        assert await ids(own, absent) == [], absent
    assert await ids(own, "丁 -乙丁") == [photo]


async def test_one_misread_character_is_forgiven_only_where_nothing_matches(own: Connection, write: Write):
    photo = await write("增值税专用发票")
    await write("别的")
    for query in (
        "增值悦专用发票",
        "增值专用发票",
        "增值税税专用发票",
        "曾值税专用发票",
        "增值税专用发标",
        "值税 增值悦专用",
    ):
        assert [(hit.asset_id, hit.forgiven) for hit in await words.search(own, query)] == [(photo, True)], query
    for query in ("增殖锐专用发票", "发标", "增值悦专用发票 没有", "增值悦专用发票 -税专", "专用发票专用"):
        assert await ids(own, query) == [], query
    literal = await write("增值悦专用发票")
    assert [(hit.asset_id, hit.forgiven) for hit in await words.search(own, "增值悦专用发票")] == [(literal, False)]
    assert await ids(own, "增值悦专用发票", offset=1) == []


# Whose, when, which


async def test_who_may_see_what(own: Connection, write: Write, immich: StandIn, owner: UUID):
    other = await immich.create_user("bob")
    mine, theirs = await write("发票"), await write("发票", owner=other)
    assert set(await ids(own, "发票")) == {mine, theirs}
    for owners, expected in (
        ((owner,), {mine}),
        ((owner, other), {mine, theirs}),
        ((), set()),
        ((UUID(int=1),), set()),
    ):
        assert set(await ids(own, "发票", scope=Scope(owners=owners))) == expected


async def test_what_is_put_away_is_not_found(own: Connection, write: Write, immich: StandIn):
    photo = await write("发票")
    for put_away in (immich.trash, immich.hide, immich.lock):
        await put_away(photo)
        assert await ids(own, "发票") == []
        assert await ids(own, "发飘") == []
        await immich.restore(photo)
        await immich.unhide(photo)
    await immich.archive(photo)
    assert await ids(own, "发票") == [photo]
    assert await ids(own, "发票", scope=Scope(archived=False)) == []


async def test_any_time_is_found(own: Connection, write: Write):
    days = (-4000, -1, 0, 1, 15, 16, 17, 40, 200, 700, 3000, 9000, 20_000, 40_000)
    taken = [NOW - timedelta(days=day) for day in days]
    photos = {moment: await write("发票", taken_at=moment) for moment in taken}
    assert set(await ids(own, "发票")) == set(photos.values())
    for first in (None, *taken):
        for last in (None, *taken):
            seen = {photos[m] for m in taken if (first is None or m >= first) and (last is None or m <= last)}
            assert set(await ids(own, "发票", scope=Scope(after=first, before=last))) == seen


async def test_a_change_of_date_is_followed(own: Connection, write: Write, database: str):
    photo = await write("发票", taken_at=NOW)
    there = Scope(before=NOW - timedelta(days=3000))
    await own.execute('UPDATE asset SET "fileCreatedAt" = $1', NOW - timedelta(days=3650))
    await heal(database)
    assert await ids(own, "发票", scope=there) == [photo]


async def test_documents_of_an_older_tokeniser_are_made_again_in_the_background(
    own: Connection, write: Write, database: str
):
    photo = await write("发票")
    await own.execute("UPDATE immich_indexer.photo SET document = '', tokens_version = $1", tokens.VERSION - 1)
    assert await ids(own, "发票") == []
    await heal(database)
    assert await ids(own, "发票") == [photo]


async def heal(database: str) -> None:
    async with asyncpg.create_pool(database, min_size=0, server_settings={"search_path": "pg_catalog,public"}) as pool:
        await Reconciler(Pool(pool), database, None, "stub").round(thorough=False)


# Order


@pytest.mark.parametrize(
    ("query", "better", "worse"),
    [
        ("cafe", {"lines": ["my cafe"]}, {"lines": ["cafeteria"]}),
        ("发票", {"lines": ["发票"]}, {"lines": ["发票", *(f"第{n}行别的文字" for n in range(9))]}),
        ("发票", {"lines": ["发票", "别的"], "height": 0.2}, {"lines": ["发票", "别的"], "height": 0.01}),
        (
            "发票 合计",
            {"lines": ["发票合计", "甲乙丙丁戊己庚辛壬癸"]},
            {"lines": ["发票", "甲乙丙丁戊己庚辛壬癸", "合计"]},
        ),
    ],
    ids=["whole words", "short texts", "large letters", "near each other"],
)
async def test_better_is_first(own: Connection, write: Write, query: str, better: dict, worse: dict):
    """Whichever was written first."""
    photos = []
    for photo in (worse, better, worse):
        options = {key: value for key, value in photo.items() if key != "lines"}
        photos.append(await write(*photo["lines"], **options))
    hits = await words.search(own, query)
    assert hits[0].asset_id == photos[1]
    assert hits[0].score > hits[1].score == hits[2].score


@pytest.mark.parametrize("typed", ["发票", "發票", "发票 NO", "發票 合計"])
async def test_the_script_that_was_typed_is_first(own: Connection, write: Write, typed: str):
    """However short, large and new the photos in the other script are; and they are found as well."""
    simplified = [await write("增值税专用发", "票 NO 合计", *(f"第{n}行别的文字" for n in range(9))) for _ in range(2)]
    traditional = [await write("增值稅專用發", "票 NO 合計", *(f"第{n}行別的文字" for n in range(9))) for _ in range(2)]
    other = "發票 NO 合計" if "发" in typed else "发票 NO 合计"
    short = [await write(other, height=0.2) for _ in range(3)]
    first, rest = (simplified, traditional) if "发" in typed else (traditional, simplified)
    found = await ids(own, typed)
    assert set(found[:2]) == set(first)
    assert sorted(found[2:]) == sorted([*rest, *short])
    assert set(await ids(own, typed, limit=2)) == set(first)


@pytest.mark.usefixtures("zhparser")
async def test_chinese_words_are_before_what_spans_words(own: Connection, write: Write):
    photos = [await write(text) for text in ("校长江南人", "看长江水流", "校长江南人")]
    assert (await ids(own, "长江"))[0] == photos[1]


@pytest.mark.parametrize(
    ("query", "possible", "many"),
    [
        *(("发票", 20, 5), ("发票 合计", 20, 5), ("发票 合计 元", 20, 5)),  # few possible photos
        *(("发票 合计", 5, 5), ("发票 合计 元", 5, 5), ("发票 合计", 20, 1)),  # too many, or many that are new
    ],
)
async def test_pages_are_disjoint_and_complete(
    own: Connection, write: Write, monkeypatch: pytest.MonkeyPatch, query: str, possible: int, many: int
):
    monkeypatch.setattr(words, "BLOCK", 4)
    monkeypatch.setattr(words, "POSSIBLE", possible)
    monkeypatch.setattr(words, "MANY", many)
    photos = [await write("发票" * (1 + n % 3), "合计 元", taken_at=NOW - timedelta(days=30 * n)) for n in range(11)]
    await write("发票", "总计", taken_at=NOW)
    await write("收据", "合计 元", taken_at=NOW)
    whole = await ids(own, query)
    assert sorted(whole) == sorted(photos) or query == "发票"
    for size in (1, 3, 4, 5, 50):
        pages = [await ids(own, query, limit=size, offset=start) for start in range(0, 13, size)]
        assert [photo for page in pages for photo in page] == whole
    first = await words.search(own, f"{query} 合计", limit=4)
    assert {hit.asset_id for hit in first} == set(photos[:4]), "the newest are ranked first"
    assert [hit.score for hit in first] == sorted((hit.score for hit in first), reverse=True)


# How


async def test_the_plan_never_scans_the_table(own: Connection):
    """Neither with statistics that say that every photo matches, nor without any."""
    await own.execute("SET session_replication_role = replica")
    await own.execute(
        """WITH photo AS (
               INSERT INTO immich_indexer.photo (asset_id, preview_updated_at, digest, text, document)
               SELECT gen_random_uuid(), now(), '', 'x', array_to_tsvector(ARRAY['票', ' 16/1', 'w' || n])
               FROM generate_series(1, 20000) n RETURNING asset_id)
           INSERT INTO asset (id, "ownerId", type, "originalPath", "originalFileName", checksum, "fileCreatedAt",
               "fileModifiedAt", "localDateTime", "checksumAlgorithm")
           SELECT asset_id, asset_id, 'IMAGE', '', '', '', now(), now(), now(), 'sha1' FROM photo"""
    )
    await own.execute("INSERT INTO immich_indexer_2.place SELECT 'w' || n FROM generate_series(1, 20000) n")
    spy = Spy(own)
    for _ in range(2):
        for query in ("票", "发票 -甲", "w1", "票 w1", "票 w1 w2"):
            for scope in (Scope(), Scope(owners=(UUID(int=1),), after=NOW)):
                await words.search(spy, query, scope=scope)
        await own.execute("ANALYZE")
    assert len(spy.plans) >= 12
    for plan in spy.plans:
        assert "Seq Scan" not in plan, plan
        assert any(index in plan for index in ("Bitmap Index Scan on photo_document", "photo_pkey", "place_pkey"))


class Spy:
    """A connection that also asks how."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.plans: list[str] = []
        self._turn = asyncio.Lock()  # questions may be asked at once, but it is one connection

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self._turn:
            self.plans.append("\n".join(row[0] for row in await self.connection.fetch(f"EXPLAIN {query}", *arguments)))
            return await self.connection.fetch(query, *arguments)


async def test_others_are_answered_while_a_misread_character_is_sought(
    own: Connection, write: Write, monkeypatch: pytest.MonkeyPatch
):
    """The search waits for the event loop to do something else: on the loop itself it would wait in vain."""
    await write("专用发漂")
    loop = asyncio.get_running_loop()
    forgiven = Query.forgiven
    others: list[bool] = []

    def slowly(query: Query, texts: list[str]) -> list[bool]:
        answered = threading.Event()
        loop.call_soon_threadsafe(answered.set)
        others.append(answered.wait(10))
        return forgiven(query, texts)

    monkeypatch.setattr(Query, "forgiven", slowly)
    [hit] = await words.search(own, "专用发票")
    assert hit.forgiven
    assert others == [True]


@pytest.mark.parametrize(
    ("query", "line"),
    [("cafe creme", "Café crème"), ("hoa don", "Hóa đơn giá trị gia tăng"), ("resume", "Résumé"), ("ni hao", "nǐ hǎo")],
)
async def test_accents_are_as_good_as_none(own: Connection, write: Write, query: str, line: str):
    photo = await write(line)
    for typed in (query, line):
        assert [(hit.asset_id, hit.forgiven) for hit in await words.search(own, typed)] == [(photo, False)]
