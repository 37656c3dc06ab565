"""Finding Chinese by its pinyin: what is found, after what, by whom, and how the table of sounds is kept."""

import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from indexer.database.pool import Pool, open_pool
from indexer.demo.immich import StandIn
from indexer.photos import pinyin as table
from indexer.photos import results
from indexer.photos.lines import StoredLine, dump_lines
from indexer.search import hybrid, words
from indexer.search.hybrid import Found, Matched, SearchRequest
from indexer.search.viewer import ADMINISTRATOR, viewer
from indexer.search.words import Scope
from indexer.text import pinyin
from indexer.text.normalise import fold
from indexer.text.parser import parse
from indexer.work.reconcile import Reconciler
from tests.conftest import every_version
from tests.integration.test_fact_search import follow
from tests.integration.test_search import Spy
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


async def say(pool: Pool, asset: UUID, *lines: str) -> None:
    """What was read in a photo, written as the indexer writes it."""
    boxes = [StoredLine(line, (0.1, 0.1, 0.9, 0.1, 0.9, 0.2, 0.1, 0.2), 0.9, 0.9) for line in lines]
    await pool.execute(
        """INSERT INTO immich_indexer.photo AS p (asset_id, preview_updated_at, digest, lines, ocr_model)
           VALUES ($1, now(), '', $2, 'stub')
           ON CONFLICT (asset_id) DO UPDATE
           SET digest = '', lines = excluded.lines, ocr_model = 'stub', tokens_version = 0""",
        asset,
        dump_lines(boxes),
    )
    await pool.transact(lambda connection: results.apply(connection, [asset]))


async def search(pool: Pool, text: str, user: UUID | None = None) -> list[Found]:
    eyes = ADMINISTRATOR if user is None else await viewer(pool, user)
    return (await hybrid.search(pool, SearchRequest.parse(text, "hybrid"), eyes, None, weight=0.5)).items


async def found(pool: Pool, text: str, user: UUID | None = None) -> list[UUID]:
    return [item.asset_id for item in await search(pool, text, user)]


async def test_what_pinyin_finds(pool: Pool, immich: StandIn, owner: UUID):
    photo = await immich.upload(stubs.picture(1), owner=owner, file_name="绿色.jpg", taken_at=TAKEN)
    await immich.describe(photo, "外婆家的重庆火锅")
    await immich.name_person(owner, await immich.recognise(photo), "张三丰")
    await immich.tag(photo, "猫")
    await immich.create_album(owner, "春节", photo)
    await follow(pool)
    await say(pool, photo, "增值税专用", "发票 女儿 妈妈", "全家福")
    for text in (
        *("fapiao", "fa piao", "fāpiào", "fa1piao4", "fa'piao", "FaPiao", "zengzhishui", "zeng zhi shui fa piao"),
        *("zengzhishui fapiao", "zhuanyong fapiao", "yongfapiao", "nver", "nǚ'ér", "nu:er", "nü er", "ma ma", "mama"),
        *(
            "chongqing",
            "zhongqing huoguo",
            "huo guo",
            "lvse",
            "lüse",
            "lu:se",
            "zhangsan",
            "zhang san",
            "zhang sanfeng",
        ),
        *(
            "mao",
            "chunjie",
            "chun jie",
            "zs",
            "zsf",
            "cj",
            "qjf",
            "zzs",
            "张三 fapiao",
            "zhang san fa piao",
            "mao fapiao",
        ),
        *("person:zhangsan", "人物:zsf", "tag:mao", "album:cj", "description:huoguo", "file:lvse", "ocr:fapiao"),
        *("xyz OR fapiao", "fapiao -合同", "type:image fapiao"),
    ):
        assert [(item.asset_id, item.pinyin) for item in await search(pool, text, owner)] == [(photo, True)], text


async def test_what_pinyin_does_not_find(pool: Pool, immich: StandIn, owner: UUID):
    photo = await immich.upload(stubs.picture(1), owner=owner, file_name="a.jpg", taken_at=TAKEN)
    await immich.describe(photo, "猫")
    await immich.name_person(owner, await immich.recognise(photo), "张三")
    await follow(pool)
    await say(pool, photo, "发票 猫 全家福")
    for text in (
        *("piaofa", "fa", "mao", "fp", '"fapiao"', '"fa piao"', "fapiao hetong", "ocr:mao", "ocr:zhangsan", "ocr:zs"),
        *(
            "place:fapiao",
            "person:fapiao",
            "description:zhangsan",
            "fapiao -张三",
            "qj",
            "fapiaoo",
            "发piao",
        ),
    ):
        assert await found(pool, text, owner) == [], text
    assert await found(pool, "张三 -fapiao", owner) == [photo], "what is left out is left out as it is written"


async def test_a_latin_word_that_is_written_stays_first(pool: Pool, immich: StandIn, owner: UUID):
    """Whatever sounds like it, newer, larger and more often."""
    written = [
        await immich.upload(stubs.picture(n), owner=owner, file_name=f"{n}.jpg", taken_at=TAKEN + timedelta(days=n))
        for n in range(14)
    ]
    await immich.locate(written[13], "Fapiao", None, None)
    await follow(pool)
    for n, photo in enumerate(written[:13]):
        await say(pool, photo, *["some other words"] * (n % 5), "fapiao women")
    texts = ("fapiao", "women", "fapiao women", "ocr:fapiao")
    befores = {text: await found(pool, text, owner) for text in texts}
    assert [len(before) for before in befores.values()] == [14, 13, 13, 13]
    said = await immich.upload(
        stubs.picture(50), owner=owner, file_name="said.jpg", taken_at=TAKEN + timedelta(days=500)
    )
    await immich.tag(said, "发票我们")
    await follow(pool)
    await say(pool, said, "发票我们发票我们")
    for text, before in befores.items():
        after = await search(pool, text, owner)
        assert [item.asset_id for item in after][: len(before)] == before, text
        assert [item.pinyin for item in after] == [False] * len(before) + [True]
        assert after[-1].asset_id == said
        pages = [
            hit.asset_id
            for start in range(0, len(after) + 2, 2)
            for hit in await words.search(pool, text, scope=Scope((owner,), user=owner), limit=2, offset=start)
        ]
        assert pages == [item.asset_id for item in after]


async def test_why_says_what_sounds_like_it(pool: Pool, immich: StandIn, owner: UUID):
    photo = await immich.upload(stubs.picture(1), owner=owner, file_name="a.jpg", taken_at=TAKEN)
    await immich.describe(photo, "外婆家的火锅")
    await immich.name_person(owner, await immich.recognise(photo), "欧阳张三")
    await follow(pool)
    await say(pool, photo, "电子", "发票")
    [item] = await search(pool, "zhangsan huo guo fapiao", owner)
    assert (item.pinyin, item.kind, item.text, len(item.boxes)) == (True, "text", "发票", 1)
    assert item.fields == [Matched("person", "欧阳张三", "张三"), Matched("description", "外婆家的火锅", "火锅")]
    [item] = await search(pool, "张三 fapiao", owner)
    assert (item.pinyin, item.text) == (True, "发票")
    assert item.fields == [Matched("person", "欧阳张三", "张三")]


PLACES = (
    *(("上海", "Shanghai"), ("上海市", "Shanghai"), ("西安", "Xi’an"), ("西安", "Xi'an Shi"), ("香港", "Hong Kong")),
    *(("台北", "Taipei"), ("澳門", "Macau"), ("拉萨", "Lhasa"), ("乌鲁木齐", "Ürümqi"), ("呼和浩特市", "Hohhot")),
    *(("哈尔滨", "Harbin"), ("内蒙古", "Inner Mongolia"), ("西藏", "Tibet"), ("喀什", "Kashgar"), ("陕西", "Shaanxi")),
    *(("重庆", "Chongqing"), ("吕梁", "Lüliang"), ("石家庄", "Shijiazhuang"), ("厦门", "Xiamen"), ("东京", "Tokyo")),
    *(("中国", "People's Republic of China"), ("日本", "Japan"), ("韩国", "South Korea"), ("德国", "Germany")),
    *(("美国", "United States of America"), ("俄罗斯", "Russian Federation"), ("广西壮族自治区", "Guangxi Zhuangzu")),
)


async def test_chinese_names_find_places_in_latin_letters(pool: Pool, immich: StandIn, owner: UUID):
    photos = {}
    for n, (_, latin) in enumerate(PLACES):
        photos[latin] = await immich.upload(stubs.picture(n), owner=owner, file_name=f"{n}.jpg", taken_at=TAKEN)
        where: list[str | None] = [None, None, None]
        where[n % 3] = latin
        await immich.locate(photos[latin], *where)
    other = await immich.upload(stubs.picture(100), owner=owner, file_name="xian shanghai.jpg", taken_at=TAKEN)
    await immich.locate(other, "Xianyang", "Shanghaiguan", "Xi Anyang")
    await follow(pool)
    for chinese, latin in PLACES[:-1]:
        for text in (chinese, f"place:{chinese}"):
            [*items] = await search(pool, text, owner)
            assert photos[latin] in [item.asset_id for item in items], text
            assert other not in [item.asset_id for item in items], text
            item = next(item for item in items if item.asset_id == photos[latin])
            assert (item.pinyin, item.fields) == (False, [Matched("place", latin, chinese)])
    assert photos["Shanghai"] not in await found(pool, "日本 OR 中国 -上海", owner)
    for text in ("person:上海", "ocr:上海", "file:上海"):
        assert await found(pool, text, owner) == [], text


async def test_a_place_with_an_apostrophe_is_found_without_it(pool: Pool, immich: StandIn, owner: UUID):
    xian = await immich.upload(stubs.picture(1), owner=owner, file_name="a.jpg", taken_at=TAKEN)
    await immich.locate(xian, "Xi’an", "Shaanxi", "China")
    other = await immich.upload(stubs.picture(2), owner=owner, file_name="b.jpg", taken_at=TAKEN)
    await immich.locate(other, "Xi Anyang", "Lü'an", None)
    await follow(pool)
    for text in ("xian", "Xian", "place:xian", "xian china"):
        [item] = await search(pool, text, owner)
        assert (item.asset_id, item.pinyin) == (xian, False), text
        assert Matched("place", "Xi’an", text.removeprefix("place:").split(" ")[0]) in item.fields, text
    assert await found(pool, "luan", owner) == [other]
    for text in ("ocr:xian", "person:xian", "file:xian", '"xi anshi"'):
        assert await found(pool, text, owner) == [], text


async def test_only_places_that_the_library_has_are_asked_for(pool: Pool, immich: StandIn, owner: UUID):
    photo = await immich.upload(stubs.picture(1), owner=owner, file_name="a.jpg", taken_at=TAKEN)
    await immich.locate(photo, "Shanghai", "Hong Kong", None)
    await follow(pool)
    asked = parse("上海 OR 发票 香港 -place:北京")
    assert {" shanghai ", " fapiao ", " hong kong ", " beijing "} <= asked.latin
    placed = await words.placed(pool, asked)
    assert placed.latin == {" shanghai ", " hong kong "}
    assert "fap" in asked.sieve(None)
    assert "fap" not in placed.sieve(None)
    assert (await words.placed(pool, parse("发票"))).sieved, "so no document is read to check it"


async def test_documents_without_all_positions(pool: Pool, immich: StandIn, owner: UUID):
    photo = await immich.upload(stubs.picture(1), owner=owner, file_name="a.jpg", taken_at=TAKEN)
    await immich.describe(photo, "字 词 " * 5000 + "火锅")
    await immich.locate(photo, "Shanghai", None, None)
    await immich.tag(photo, "欧阳")
    await follow(pool)
    await say(pool, photo, *("发 " * 20_000 + "票", "末尾文字"))
    assert await pool.fetchval("SELECT overflow <> '' AND long_facts <> '{}' FROM immich_indexer.photo")
    for text in ("fapiao", "moweiwenzi", "huoguo", "fa fa fapiao huo guo", "ouyang", "oy", "description:huoguo"):
        assert [(item.asset_id, item.pinyin) for item in await search(pool, text, owner)] == [(photo, True)], text
    assert await found(pool, "上海", owner) == [photo]
    for text in ("piaofa", "ocr:huoguo", "description:ouyang", "tag:huoguo", "guohuo"):
        assert await found(pool, text, owner) == [], text


@every_version
async def test_nobody_elses_words_change_an_answer(pool: Pool, immich: StandIn, owner: UUID):
    partner, stranger = await immich.create_user("bob"), await immich.create_user("eve")
    await immich.share(owner, partner)
    mine = await immich.upload(stubs.picture(1), owner=owner, file_name="a.jpg", taken_at=TAKEN)
    theirs = await immich.upload(stubs.picture(2), owner=stranger, file_name="b.jpg", taken_at=TAKEN)
    await immich.describe(mine, "火锅")
    await immich.locate(mine, "Kunming", None, None)
    await immich.name_person(owner, await immich.recognise(mine), "张三")
    await immich.tag(mine, "猫")
    await follow(pool)
    await say(pool, mine, "发票")
    texts = ("fapiao", "huoguo", "zhangsan", "zs", "mao", "fapiao huoguo", "昆明", "fapiao -zhangsan", "qjf", "罚票")

    async def answers(user: UUID) -> list[Any]:
        eyes = await viewer(pool, user)
        return [
            await hybrid.search(pool, SearchRequest.parse(text, "hybrid"), eyes, None, weight=0.5) for text in texts
        ]

    before = [await answers(user) for user in (owner, partner)]
    assert [len(page.items) for page in before[0]] == [1, 1, 1, 1, 1, 1, 1, 0 + 1, 0, 0]
    assert [len(page.items) for page in before[1]] == [1, 1, 0, 0, 0, 1, 1, 1, 0, 0]
    await immich.describe(theirs, "活锅")
    await immich.name_person(stranger, await immich.recognise(theirs), "章散")
    await immich.tag(theirs, "毛")
    await immich.locate(theirs, "Kunming", None, None)
    await follow(pool)
    await say(pool, theirs, "罚票全家福")
    assert [await answers(user) for user in (owner, partner)] == before
    assert {item.asset_id for page in await answers(stranger) for item in page.items} == {theirs}


async def test_the_table_has_what_documents_have(pool: Pool, immich: StandIn, database: str, owner: UUID):
    """It is filled with them, and anew where it was lost or made by another version."""
    photo = await immich.upload(stubs.picture(1), owner=owner, file_name="绿.jpg", taken_at=TAKEN)
    await immich.tag(photo, "乾隆")
    await immich.describe(photo, "描述")
    await immich.locate(photo, "Xi’an", None, None)
    await follow(pool)
    await say(pool, photo, "发票")

    async def rows() -> dict[str, set[str]]:
        pairs = await pool.fetch("SELECT first, followers FROM immich_indexer_2.pair")
        sounds = await pool.fetch("SELECT lexeme, string_to_array(sounds, ',') FROM immich_indexer_2.pinyin")
        places = await pool.fetch("SELECT word, '' FROM immich_indexer_2.place")
        return {key: set(values) for key, values in (*pairs, *sounds, *places)}

    whole = await rows()
    assert set(whole) == {"发", " +描", " -干", " -隆", " -干隆", "xi", "an"}
    assert (whole["发"], whole[" +描"]) == (set("票"), set("述"))
    assert {"qian long", "gan long", "q.l"} <= whole[" -干隆"]
    assert await table.rebuild(pool)
    assert await rows() == whole
    await pool.execute("TRUNCATE immich_indexer_2.pinyin, immich_indexer_2.pair, immich_indexer_2.place")
    assert not await table.rebuild(pool), "it was made by this version"
    await pool.execute("UPDATE immich_indexer.state SET value = '0' WHERE key = 'pinyin'")
    await Reconciler(pool, database, None, None).round(thorough=False)
    assert await rows() == whole
    assert await found(pool, "qianlong", owner) == await found(pool, "fapiao", owner) == [photo]


async def test_writers_do_not_wait_for_each_other_and_lose_nothing(
    pool: Pool, database: str, immich: StandIn, owner: UUID
):
    """Two that find new words at the same time; what follows a character may then be in several rows."""
    texts = ("发票", "发现", "发生")
    photos = [await immich.upload(stubs.picture(n), owner=owner, file_name=f"{n}.jpg") for n in range(3)]
    for photo, text in zip(photos, texts, strict=True):
        await pool.execute(
            """INSERT INTO immich_indexer.photo (asset_id, document) VALUES ($1, array_to_tsvector(ARRAY[$2]))
               ON CONFLICT (asset_id) DO UPDATE SET document = excluded.document""",
            photo,
            text,
        )
    async with pool.acquire() as one, pool.acquire() as other:
        await table.learn(one, photos[:1])
        async with one.transaction():
            await table.learn(one, photos[1:2])
            await table.learn(other, photos[2:])
    assert [row["followers"] for row in await pool.fetch("SELECT followers FROM immich_indexer_2.pair ORDER BY 1")] == [
        "生",
        "票现",
    ]
    heard = await table.heard(pool, ["fa piao", "fa xian", "fa sheng"])
    assert heard == {("", "fa piao"): ["发票"], ("", "fa xian"): ["发现"], ("", "fa sheng"): ["发生"]}


async def test_the_plan_never_scans_a_table(pool: Pool, connection: Connection):
    user = UUID(int=1)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        """WITH photo AS (
               INSERT INTO immich_indexer.photo (asset_id, document)
               SELECT gen_random_uuid(), array_to_tsvector(ARRAY['发票', ' -发票', ' o00000000', ' 32/600', 'w' || n])
               FROM generate_series(1, 20000) n RETURNING asset_id)
           INSERT INTO asset (id, "ownerId", type, "originalPath", "originalFileName", checksum, "fileCreatedAt",
               "fileModifiedAt", "localDateTime", "checksumAlgorithm")
           SELECT asset_id, asset_id, 'IMAGE', '', '', '', now(), now(), now(), 'sha1' FROM photo"""
    )
    await connection.execute(
        """INSERT INTO immich_indexer_2.pinyin SELECT '发票' || n, 'x' || n FROM generate_series(1, 50000) n
           UNION ALL SELECT ' -发票', 'fa piao,f.p'"""
    )
    await connection.execute(
        """INSERT INTO immich_indexer_2.pair SELECT chr(n), '票' FROM generate_series(19968, 40000) n
           UNION ALL SELECT '发', '票'"""
    )
    await connection.execute("INSERT INTO immich_indexer_2.place SELECT 'w' || n FROM generate_series(1, 20000) n")
    spy = Spy(connection)
    for _ in range(2):
        for text in ("fapiao", "fa piao", "fp", "fapiao OR 发票", "fapiao -甲", "发票"):
            await words.candidates(spy, parse(text), scope=Scope((user,), user=user))
        await connection.execute("ANALYZE")
    assert sum("pinyin_sounds" in plan for plan in spy.plans) == 10
    assert sum("pair_first" in plan for plan in spy.plans) == 8, "initials of two letters are of names"
    for plan in spy.plans:
        assert "Seq Scan" not in plan, plan


PHRASES = json.loads(
    Path(str(distribution("pypinyin").locate_file("pypinyin/phrases_dict.json"))).read_text(encoding="utf-8")
)
TONES = {"a": "āáǎà", "e": "ēéěè", "i": "īíǐì", "o": "ōóǒò", "u": "ūúǔù", "v": "ǖǘǚǜ"}


def typed(chance: random.Random, syllables: list[str]) -> str:
    """As people type it: in one or with spaces or apostrophes, and with marks, numbers or no tones."""
    tones = chance.choice(("none", "none", "mark", "number"))
    said = []
    for syllable in syllables:
        vowel = next(letter for letter in "aeoviu" if letter in syllable) if "iu" not in syllable else "u"
        mark = TONES[vowel][chance.randrange(4)]
        syllable = {"mark": syllable.replace(vowel, mark, 1), "number": f"{syllable}{chance.randint(1, 5)}"}.get(
            tones, syllable.replace("v", chance.choice(("v", "ü", "u:")))
        )
        said.append(syllable)
    return chance.choice((" ", "", "'")).join(said)


async def test_four_hundred_words_and_two_hundred_names(pool: Pool, immich: StandIn, owner: UUID):
    """Of 0.99 and more the photo is found, whichever reading of each character is typed."""
    chance = random.Random(17)
    common = [word for word in sorted(PHRASES) if 2 <= len(word) <= 4 and all("\u4e00" <= c < "\u9fa6" for c in word)]
    written = chance.sample(common, 400)
    surnames, given = (
        "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗",
        "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰重乐长行",
    )
    names = {chance.choice(surnames) + "".join(chance.choices(given, k=chance.randint(1, 2))) for _ in range(300)}
    people = sorted(names)[:200]
    photos = [await immich.upload(stubs.picture(n), owner=owner, file_name=f"{n}.jpg") for n in range(20)]
    held: dict[str, UUID] = {}
    for n, name in enumerate(people):
        held[name] = photos[n % 20]
        await immich.name_person(owner, await immich.recognise(held[name]), name)
    await follow(pool)
    for n, photo in enumerate(photos):
        mine = written[n::20]
        await say(pool, photo, *("".join(chance.choices("的一是在不了有和人这中大", k=3)) + word for word in mine))
        held |= dict.fromkeys(mine, photo)
    missed = []
    for word, photo in held.items():
        asked = typed(chance, [chance.choice(pinyin.readings(fold(character))) for character in word])
        hits = await words.candidates(pool, parse(asked), scope=Scope((owner,), user=owner))
        if photo not in [hit.asset_id for hit in hits]:
            missed.append((word, asked))
    assert len(missed) <= 0.01 * len(held), missed
