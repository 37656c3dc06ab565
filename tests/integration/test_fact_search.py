"""One search over all that is known of a photo: what is found, in which order, by whom, and why."""

import itertools
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest

from indexer.database.pool import Pool, open_pool
from indexer.demo.immich import StandIn
from indexer.errors import QueryError
from indexer.photos import facts
from indexer.queue.claims import Queue
from indexer.queue.retries import Policy
from indexer.search import hybrid, words
from indexer.search.hybrid import Found, SearchRequest
from indexer.search.viewer import ADMINISTRATOR, viewer
from indexer.search.words import Scope
from indexer.text import tokens
from indexer.text.parser import parse
from tests.conftest import every_version
from tests.support import stubs
from tests.support.installs import install

Connection = asyncpg.Connection

TAKEN = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    await install(database)
    pool = await open_pool(database, size=3)
    yield pool
    pool.terminate()


async def follow(pool: Pool) -> None:
    await Queue(pool, uuid4(), Policy(max_attempts=1, retry_seconds=0, lease_seconds=60)).drain()
    while await pool.transact(lambda connection: facts.follow(connection, 100)):
        pass


async def say(pool: Pool, asset: UUID, *lines: str) -> None:
    """What would be read in a photo."""
    document = tokens.document(lines)
    stored = [
        {"text": line, "box": [0, 0, 1, 0, 1, 1, 0, 1], "boxScore": 1, "textScore": 1, "visible": True}
        for line in lines
    ]
    await pool.execute(
        """UPDATE immich_indexer.photo SET lines = $2, text = $3, overflow = $5, digest = '',
               text_size = length($4::text::tsvector), document = ($4 || ' ' || document::text)::tsvector
           WHERE asset_id = $1""",
        asset,
        json.dumps(stored),
        "\n".join(lines),
        document.ngrams,
        document.overflow,
    )


async def search(pool: Pool, text: str, user: UUID | None = None) -> list[Found]:
    eyes = ADMINISTRATOR if user is None else await viewer(pool, user)
    return (await hybrid.search(pool, SearchRequest.parse(text, "hybrid"), eyes, None, weight=0.5)).items


async def found(pool: Pool, text: str, user: UUID | None = None) -> list[UUID]:
    return [item.asset_id for item in await search(pool, text, user)]


@every_version
async def test_each_field_is_found(pool: Pool, immich: StandIn, owner: UUID):
    photo = await immich.upload(stubs.picture(1), owner=owner, file_name="租房合同 (2).jpg", taken_at=TAKEN)
    await immich.upload(
        stubs.picture(2), owner=owner, file_name="b.jpg", kind="VIDEO", taken_at=TAKEN + timedelta(days=400)
    )
    await immich.describe(photo, "外婆家的火锅, very spicy")
    await immich.locate(photo, "Shanghai", "上海市", "中华人民共和国")
    await immich.read_camera(photo, "FUJIFILM", "X-T5", "XF 35mm")
    await immich.name_person(owner, await immich.recognise(photo), "欧阳娜娜")
    await immich.tag(photo, "旅行/江南")
    await immich.create_album(owner, "2024 春节", photo)
    await follow(pool)
    await say(pool, photo, "增值税专用发票")
    for text in (
        *("火锅", "婆家的", "锅", "spicy", "SPIC", "外婆 火锅", "合同", "租房合同 (2).jpg", "shang", "共和", "上海市"),
        *("fujifilm", "X-T5", "35mm", "欧阳", "娜娜", "娜", "江南", "旅行/江南", "春节", "春節"),
        *("2024年5月", "五月", "May 2024", "2024-05-01", "20240501", "5月1日", "2024年", '"May 2024"'),
        *("人物:欧阳 标签:江南 相册:春节 地点:上海 文件:合同 相机:fuji 日期:2024-05 类型:图片 描述:火锅 发票",),
        *(
            "person:娜娜",
            "place:shanghai",
            "tag:旅行",
            "album:2024",
            "file:合同",
            "camera:35mm",
            "ocr:发票",
            "娜娜 ocr:发票",
        ),
        *("欧阳 上海 发票", "date:2024", "date:2024-05-01..2024-06-15", "date:..2024-05", "type:image", "五月 -六月"),
        *("狗 OR 火锅", "person:张三 OR person:娜娜", "-type:video 火锅", "-person:张三 火锅"),
    ):
        assert await found(pool, text, owner) == [photo], text
    for text in (
        *("火锅 -发票", "person:火锅", "place:欧阳", "tag:春节", "album:江南", "file:火锅", "camera:上海", "ocr:火锅"),
        *(
            "date:2023",
            "date:2024-05-02..",
            "type:video 发票",
            '"发票 火锅"',
            '"欧阳 上海"',
            "欧阳娜娜娜",
            "发票 -五月",
            "13",
        ),
        *("发票 -人物:欧阳", "发票 -娜娜", "发票 date:去年"),
    ):
        assert photo not in await found(pool, text, owner), text


async def test_a_value_ends_where_it_ends(pool: Pool, immich: StandIn, owner: UUID):
    photo = await immich.upload(stubs.picture(1), owner=owner)
    for tag in ("春", "天", "ab", "cd"):
        await immich.tag(photo, tag)
    await follow(pool)
    assert await found(pool, "春", owner) == await found(pool, "ab cd", owner) == [photo]
    for text in ("春天", "abcd", '"ab cd"', "天ab"):
        assert await found(pool, text, owner) == [], text


async def test_text_is_before_names_and_these_before_places(pool: Pool, immich: StandIn, owner: UUID):
    """However the texts themselves would rank."""
    photos = [
        await immich.upload(stubs.picture(n), owner=owner, file_name=f"{n}.jpg", taken_at=TAKEN) for n in range(6)
    ]
    text, described, named, placed, both, none = photos
    await immich.describe(described, "长安")
    await immich.name_person(owner, await immich.recognise(named), "长安")
    await immich.locate(placed, "长安", None, None)
    await immich.locate(both, "长安", None, None)
    await follow(pool)
    await say(pool, text, *(f"第{n}行别的文字" for n in range(20)), "长安街")
    await say(pool, both, "长安")
    await say(pool, none, "别的")
    order = await found(pool, "长安", owner)
    assert set(order[:2]) == {text, both}
    assert set(order[2:4]) == {described, named}
    assert order[4:] == [placed]
    await immich.describe(text, "街")
    await immich.describe(both, "街")
    await follow(pool)
    assert (await found(pool, "长安 街", owner))[0] == text


async def test_why(pool: Pool, immich: StandIn, owner: UUID):
    photo = await immich.upload(stubs.picture(1), owner=owner, taken_at=TAKEN)
    await immich.name_person(owner, await immich.recognise(photo), "张三")
    await immich.locate(photo, "上海", "上海", "中国")
    await follow(pool)
    await say(pool, photo, "合计", "增值税发票")
    [item] = await search(pool, "张三 上海 发票 2024年", owner)
    assert (item.kind, item.text, item.forgiven) == ("text", "增值税发票", False)
    assert {(fact.field, fact.value, fact.word) for fact in item.fields} == {
        ("person", "张三", "张三"),
        ("place", "上海", "上海"),
        ("date", "2024年", "2024年"),
    }
    [item] = await search(pool, "增值税发漂", owner)
    assert item.forgiven
    assert item.fields == []


@every_version
async def test_who_finds_what(pool: Pool, immich: StandIn, connection: Connection, owner: UUID):
    """A partner finds by what both see. A stranger's photo changes nothing, in any mode, with any field."""
    partner, stranger = [await immich.create_user(name) for name in ("bob", "eve")]
    await immich.share(owner, partner)
    mine = await immich.upload(stubs.picture(1), owner=owner, file_name="秘密文件.jpg", taken_at=TAKEN)
    await immich.describe(mine, "描述文字")
    await immich.locate(mine, "昆明", None, None)
    await immich.name_person(owner, await immich.recognise(mine), "赵敏")
    await immich.tag(mine, "标记")
    album = await immich.create_album(owner, "相集", mine)
    await immich.share_album(album, partner)
    await immich.share_album(album, stranger)
    theirs = await immich.upload(stubs.picture(2), owner=partner, file_name="p.jpg", taken_at=TAKEN)
    await immich.tag(theirs, "别的")
    await follow(pool)
    for asset in (mine, theirs):
        await say(pool, asset, "共同")
    public = (
        "秘密",
        "描述文字",
        "昆明",
        "Camera",
        "2024年5月",
        "file:秘密",
        "place:昆明",
        "description:文字",
        "共同 昆明",
    )
    private = (
        "赵敏",
        "标记",
        "相集",
        "person:赵敏",
        "tag:标记",
        "album:相集",
        "赵",
        "共同 赵敏",
        "赵敏 OR 没有",
        "tag:标",
        "昆明 标记",
    )
    for text in public:
        assert mine in await found(pool, text, owner), text
        assert mine in await found(pool, text, partner), text
        assert await found(pool, text, stranger) == [], text
    for text in private:
        assert await found(pool, text, owner) == [mine], text
        assert await found(pool, text, partner) == [], text
        assert await found(pool, text, stranger) == [], text
        assert await found(pool, text) == [mine], "the administrator, at the command line"
    assert set(await found(pool, "共同 -标记", partner)) == {mine, theirs}, "what is not seen excludes nothing"
    assert await found(pool, "共同 -标记", owner) == []
    for item in await search(pool, "共同 OR 赵敏 OR 昆明", partner):
        assert {fact.field for fact in item.fields} <= {"place"}
    page = await hybrid.search(
        pool, SearchRequest.parse("赵敏", "hybrid"), await viewer(pool, partner), None, weight=0.5, limit=1
    )
    assert (page.items, page.more, page.matches) == ([], False, 0)


async def test_a_fact_that_was_just_removed_is_not_shown(pool: Pool, immich: StandIn, owner: UUID):
    photo = await immich.upload(stubs.picture(1), owner=owner)
    await immich.describe(photo, "外婆家")
    await follow(pool)
    await immich.describe(photo, "")
    assert await found(pool, "外婆", owner) == []


async def test_positions_that_do_not_fit(pool: Pool, immich: StandIn, connection: Connection, owner: UUID):
    """Five hundred tags, ten thousand characters: all is found, and nothing else."""
    photo = await immich.upload(stubs.picture(1), owner=owner, file_name="a.jpg", taken_at=TAKEN)
    other = await immich.upload(stubs.picture(2), owner=owner, file_name="b.jpg", taken_at=TAKEN)
    chance = random.Random(5)
    long = " ".join("".join(chance.choices("etaoin", k=5)) for _ in range(1600)) + " 结束了"
    await immich.describe(photo, long)  # before the tags, which only the database knows
    await connection.execute(
        """WITH made AS (INSERT INTO tag ("userId", value) SELECT $1, '标签' || n
               FROM generate_series(1000, 1499) n RETURNING id)
           INSERT INTO tag_asset ("assetId", "tagId") SELECT $2, id FROM made""",
        owner,
        photo,
    )
    await immich.tag(other, "标签 xy")
    await follow(pool)
    assert await connection.fetchval(
        "SELECT long_facts IS NOT NULL FROM immich_indexer.photo WHERE asset_id = $1", photo
    )
    for text in (
        "标签1499",
        '"标签1499"',
        "tag:签1000",
        "结束了",
        "tag:1234 结束",
        f'"{long[4000:4080].strip()}"',
        "description:结束",
    ):
        assert await found(pool, text, owner) == [photo], text
    for text in ('"标签1500"', "tag:结束了", '"etaoin etaoin"', "tag:签1000 -结束了", '"1499 1000"', "xy 结束了"):
        assert await found(pool, text, owner) == [], text
    await say(pool, photo, *("发 " * 20_000 + "票", "末尾文字"))
    for text in ("末尾文字 结束了", "tag:1234 末尾文", "结束了 发发发"):
        assert await found(pool, text, owner) == [photo], text
    assert await found(pool, "末尾文字 签结束", owner) == []
    stranger = await immich.create_user("eve")
    await immich.share(owner, stranger)
    assert await found(pool, "结束了", stranger) == [photo]
    assert await found(pool, '"标签1499"', stranger) == []


NAMES = ("张三", "李四", "王小明", "Anna Lee", "小明")
PLACES = ("上海", "北京", "Hong Kong", "上海市浦东")
WORDS = ("发票", "合同", "invoice 12", "小明的信")


async def test_truth_by_construction(pool: Pool, immich: StandIn, owner: UUID):
    """Random facts, edits and queries against literal containment."""
    chance = random.Random(11)
    photos = [
        await immich.upload(stubs.picture(number), owner=owner, file_name="x.jpg", taken_at=TAKEN)
        for number in range(30)
    ]
    people = {name: await immich.recognise(photos[0]) for name in NAMES}
    for name, person in people.items():
        await immich.name_person(owner, person, name)
    held: dict[UUID, dict[str, list[str]]] = {asset: {"person": [], "tag": [], "text": []} for asset in photos}
    held[photos[0]]["person"] = list(NAMES)
    for asset in photos:
        for name in chance.sample(NAMES, chance.randrange(3)):
            await immich.recognise(asset, people[name])
            held[asset]["person"].append(name)
        place, words_of = chance.choice(PLACES), chance.choice(WORDS)
        await immich.locate(asset, place, None, None)
        held[asset] |= {"place": [place], "text": [words_of]}
        if chance.random() < 0.5:
            tag = chance.choice([*NAMES, *PLACES])
            await immich.tag(asset, tag)
            held[asset]["tag"] = [tag]
    await follow(pool)
    for asset in photos:
        await say(pool, asset, *held[asset]["text"])
    await immich.name_person(owner, people["李四"], "赵六")
    for asset in photos:
        held[asset]["person"] = ["赵六" if name == "李四" else name for name in held[asset]["person"]]
    await follow(pool)

    def holds(asset: UUID, word: str, field: str | None) -> bool:
        kept = {name: [tokens.canonical(value) for value in values] for name, values in held[asset].items()}
        values = kept[field] if field else itertools.chain(*kept.values())
        return any(tokens.canonical(word) in value for value in values)

    pieces = ("张三", "小明", "李四", "赵六", "上海", "Hong", "发票", "12", "Lee", "明", "小明的")
    for _ in range(60):
        asked = [
            (chance.choice(pieces), chance.choice([None, None, "person", "place", "tag"]))
            for _ in range(chance.randint(1, 3))
        ]
        text = " ".join(f"{field}:{word}" if field else word for word, field in asked)
        truth = {asset for asset in photos if all(holds(asset, word, field) for word, field in asked)}
        assert {
            hit.asset_id for hit in await words.candidates(pool, parse(text), scope=Scope((owner,), user=owner))
        } == truth, text


async def test_meaning_within_a_field(pool: Pool, immich: StandIn, owner: UUID):
    """Words that are nowhere are looked for in what photos show, but only in photos of that person."""
    photos = [await immich.upload(stubs.picture(n), owner=owner, file_name=f"{n}.jpg") for n in range(3)]
    for asset in photos:
        await immich.immich_clip_job(asset, [1.0] + [0.0] * 511)
    await immich.name_person(owner, await immich.recognise(photos[1]), "张三")
    await follow(pool)

    async def vector() -> Any:
        return np.array([1.0] + [0.0] * 511, dtype=np.float32)

    eyes = await viewer(pool, owner)
    for text, expected in (("person:张三 海边", {photos[1]}), ("海边", set(photos)), ("person:李四 海边", set())):
        wanted = SearchRequest.parse(text, "hybrid")
        assert wanted.meant == "海边"
        page = await hybrid.search(pool, wanted, eyes, vector(), weight=0.5)
        assert {item.asset_id for item in page.items} == expected, text


@pytest.mark.parametrize("text", ["person:", "标签:", "date:soon", "type:song", "-person:张三"])
async def test_a_field_that_says_nothing_is_an_error_with_a_sentence(pool: Pool, owner: UUID, text: str):
    with pytest.raises(QueryError, match=r"\w+ \w+ \w+"):
        await search(pool, text, owner)


@pytest.mark.parametrize(
    "name", ["a:b", 'the "boss"', "person:x", "-minus", "OR", "👨‍👩‍👧 家", "שלום", "مرحبا", "O'Neil\\", "100%"]
)
async def test_any_name_can_be_found(pool: Pool, immich: StandIn, owner: UUID, name: str):
    photo = await immich.upload(stubs.picture(1), owner=owner, file_name="x.jpg")
    await immich.name_person(owner, await immich.recognise(photo), name)
    await follow(pool)
    quoted = name.replace('"', " ")
    assert await found(pool, f'person:"{quoted}"', owner) == [photo]


async def test_the_plan_never_scans_a_table(pool: Pool, connection: Connection):
    from tests.integration.test_search import Spy

    user = UUID(int=1)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        """WITH photo AS (
               INSERT INTO immich_indexer.photo (asset_id, document)
               SELECT gen_random_uuid(), array_to_tsvector(ARRAY[
                   '票', ' +票', ' -票', ' o00000000', ' =2024', ' 32/600', 'w' || n])
               FROM generate_series(1, 20000) n RETURNING asset_id)
           INSERT INTO asset (id, "ownerId", type, "originalPath", "originalFileName", checksum, "fileCreatedAt",
               "fileModifiedAt", "localDateTime", "checksumAlgorithm")
           SELECT asset_id, asset_id, 'IMAGE', '', '', '', now(), now(), now(), 'sha1' FROM photo"""
    )
    await connection.execute("INSERT INTO immich_indexer_2.place SELECT 'w' || n FROM generate_series(1, 20000) n")
    spy = Spy(connection)
    for _ in range(2):
        for text in ("票", "发票 张三", "person:票", "date:2024 票", "票 OR 张三", "-发票 票", "type:video"):
            await words.candidates(spy, parse(text), scope=Scope((user,), user=user))
        await connection.execute("ANALYZE")
    assert len(spy.plans) >= 14
    for plan in spy.plans:
        assert "Seq Scan" not in plan, plan
        assert any(index in plan for index in ("Bitmap Index Scan on photo_document", "photo_pkey", "place_pkey"))
