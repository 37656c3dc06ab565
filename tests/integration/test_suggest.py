"""What is suggested while a person types, and to whom."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from indexer.database.pool import Pool, open_pool
from indexer.demo.immich import StandIn
from indexer.search import suggest
from indexer.search.viewer import Viewer, viewer
from tests.conftest import every_version
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


async def suggested(pool: Pool, user: UUID, text: str, limit: int = 4) -> list[tuple[str, str]]:
    found = await suggest.suggest(pool, text, await viewer(pool, user), limit=limit)
    return [(item.kind, item.value) for item in found.items]


@pytest.fixture
async def photo(immich: StandIn, owner: UUID, pool: Pool) -> UUID:
    """One of which Immich knows much."""
    photo = await immich.upload(stubs.picture(1), owner=owner)
    await immich.locate(photo, "上海市", "Shanghai", "中国")
    await immich.name_person(owner, await immich.recognise(photo), "上官婉儿")
    await immich.tag(photo, "旅行/上海")
    await immich.create_album(owner, "2024 上海迪士尼", photo)
    await follow(pool)
    await say(pool, photo, "上海增值税专用发票", "上海虹桥")
    return photo


@every_version
async def test_each_kind_is_suggested(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    assert await suggested(pool, owner, "上") == [
        ("person", "上官婉儿"),
        ("place", "上海市"),
        ("album", "2024 上海迪士尼"),
        ("tag", "旅行/上海"),
        ("word", "上海"),
        ("word", "上海虹桥"),
    ]
    assert await suggested(pool, owner, "发票 shang") == [
        ("person", "上官婉儿"),
        ("place", "Shanghai"),
        ("place", "上海市"),
        ("album", "2024 上海迪士尼"),
        ("tag", "旅行/上海"),
    ]
    assert await suggested(pool, owner, "shangguanw") == [("person", "上官婉儿")]
    assert await suggested(pool, owner, "sgw") == [("person", "上官婉儿")]
    assert await suggested(pool, owner, "place:zhongg") == [("place", "中国")]
    assert await suggested(pool, owner, "虹") == [("word", "虹桥")]
    for text, found in {
        "person:": ("person", "上官婉儿"),
        "人物:婉": ("person", "上官婉儿"),
        "tag:": ("tag", "旅行/上海"),
        "相册:": ("album", "2024 上海迪士尼"),
        "地点:中": ("place", "中国"),
        'album:"2024 上': ("album", "2024 上海迪士尼"),
        "-tag:旅": ("tag", "旅行/上海"),
        "ocr:虹": ("word", "虹桥"),
        "上海 ocr:虹": ("word", "虹桥"),
    }.items():
        assert await suggested(pool, owner, text) == [found], text
    assert {value for _, value in await suggested(pool, owner, "place:")} == {"上海市", "Shanghai", "中国"}
    for text in ("", "上 ", "date:2", "type:", "camera:上", "没有", "%", "\\", "'", '"', "a" * 200):
        assert await suggested(pool, owner, text) == [], text


@every_version
async def test_to_partners_and_strangers_only_what_immich_shows_them(
    pool: Pool, immich: StandIn, owner: UUID, photo: UUID
):
    partner, stranger = await immich.create_user("bob"), await immich.create_user("eve")
    await immich.share(owner, partner)
    assert await suggested(pool, partner, "上") == [("place", "上海市")]
    assert await suggested(pool, stranger, "上") == []
    for text in ("person:", "tag:", "album:", "ocr:上"):
        assert await suggested(pool, partner, text) == await suggested(pool, stranger, text) == [], text
    await immich.archive(photo)
    assert await suggested(pool, partner, "上") == [], "a partner's archived photos are not shown"


async def test_a_strangers_photos_change_nothing(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    before = await suggested(pool, owner, "上")
    eve = await immich.create_user("eve")
    for number in range(3):
        other = await immich.upload(stubs.picture(2 + number), owner=eve)
        await immich.locate(other, "上饶市", "上海市", None)
        await immich.name_person(eve, await immich.recognise(other), "上官飞燕")
        await immich.tag(other, "上班")
        await follow(pool)
        await say(pool, other, "上海虹桥", "上班")
    assert await suggested(pool, owner, "上") == before


@pytest.mark.parametrize("gone", ["trash", "hide", "lock"])
async def test_what_only_photos_have_that_are_not_shown(
    pool: Pool, immich: StandIn, owner: UUID, photo: UUID, gone: str
):
    await getattr(immich, gone)(photo)
    assert await suggested(pool, owner, "上") == []


async def test_hidden_nameless_and_unused(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    hidden = await immich.recognise(photo)
    await immich.name_person(owner, hidden, "上官云")
    assert ("person", "上官云") in await suggested(pool, owner, "上官")
    await immich.hide_person(owner, hidden)
    await immich.recognise(photo)
    await immich.create_album(owner, "上官家的相册")
    assert await suggested(pool, owner, "上官") == [("person", "上官婉儿")]


async def test_the_better_match_is_first_and_the_same_name_comes_once(pool: Pool, immich: StandIn, owner: UUID):
    photo = await immich.upload(stubs.picture(1), owner=owner)
    for name in ("Joanna", "Mary Ann", "ann marie", "Anna", "ANN", "Ann", "Ann", "Ænn"):
        await immich.name_person(owner, await immich.recognise(photo), name)
    assert await suggested(pool, owner, "person:ann", 20) == [
        ("person", name) for name in ("ANN", "Ann", "Anna", "ann marie", "Mary Ann", "Joanna")
    ]
    assert ("person", "Joanna") not in await suggested(pool, owner, "person:a", 20), "one letter begins a word"
    assert await suggested(pool, owner, "person:ann", 2) == [("person", "ANN"), ("person", "Ann")]


async def test_whose_face_may_be_seen(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    [person] = (await suggest.suggest(pool, "person:", await viewer(pool, owner), limit=4)).items
    assert person.person is not None
    assert await suggest.has_person(pool, owner, person.person)
    assert not await suggest.has_person(pool, await immich.create_user("eve"), person.person)
    assert not await suggest.has_person(pool, owner, uuid4())


@every_version
async def test_the_plan_scans_no_table(
    pool: Pool, immich: StandIn, connection: Connection, owner: UUID, immich_version: str
):
    """With a library of others that is large, with statistics and without."""
    photo = await immich.upload(stubs.picture(1), owner=owner)
    person = await immich.recognise(photo)
    await immich.name_person(owner, person, "票号")
    await immich.tag(photo, "票")
    await immich.create_album(owner, "票", photo)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        """WITH photo AS (
               INSERT INTO immich_indexer.photo (asset_id, document)
               SELECT gen_random_uuid(), array_to_tsvector(ARRAY[
                   '票', ' +票', ' -票', ' o00000000', ' 32/600', 'w' || n])
               FROM generate_series(1, 20000) n RETURNING asset_id), asset AS (
           INSERT INTO asset (id, "ownerId", type, "originalPath", "originalFileName", checksum, "fileCreatedAt",
               "fileModifiedAt", "localDateTime", "checksumAlgorithm")
           SELECT asset_id, asset_id, 'IMAGE', '', '', '', now(), now(), now(), 'sha1' FROM photo
           RETURNING id), exif AS (
           INSERT INTO asset_exif ("assetId", city) SELECT id, '票' FROM asset), tags AS (
           INSERT INTO tag (id, "userId", value) SELECT id, id, '票' FROM asset), tagged AS (
           INSERT INTO tag_asset ("assetId", "tagId") SELECT id, id FROM asset)
           INSERT INTO album_asset ("albumId", "assetId") SELECT id, id FROM asset"""
    )
    column = "personGroupId" if immich_version in ("3.2", "3.3") else "personId"
    await connection.execute(
        f'INSERT INTO asset_face ("assetId", "{column}") SELECT id, id FROM asset WHERE id <> $1', photo
    )
    await connection.execute("LOAD 'auto_explain'")
    await connection.execute("SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on")
    await connection.execute("SET client_min_messages = log")
    plans: list[str] = []
    connection.add_log_listener(lambda _, message: plans.append(message.message))
    spy, eyes = Spy(connection), Viewer(owner, (owner, UUID(int=0)))
    for _ in range(2):
        for text in ("票", "place:票", "ocr:票"):
            await suggest.suggest(spy, text, eyes, limit=4)  # type: ignore[arg-type]
        await connection.execute("ANALYZE")
    assert len(plans) > 20
    for name in ("asset_face", "tag_asset", "album_asset", "photo_document", "person", "asset_exif"):
        assert any(name in plan for plan in plans), name
    for plan in plans:
        for table in ("asset", "photo", "asset_exif", "asset_face", "tag", "tag_asset", "album_asset"):
            assert f"Seq Scan on {table} " not in plan, plan
