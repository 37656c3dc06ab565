"""What Immich knows of a photo gets into its document, after each kind of edit, as each version of Immich makes it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from indexer.database.pool import Pool, open_pool
from indexer.demo.immich import StandIn
from indexer.photos import facts
from indexer.photos.facts import Facts
from indexer.queue.claims import Queue
from indexer.queue.retries import Policy
from indexer.text import fields
from indexer.text.fields import ALBUM, CAMERA, DESCRIPTION, FILE, PERSON, PLACE, TAG, Field
from indexer.work.pace import WorkerPace
from indexer.work.reconcile import Reconciler
from indexer.work.worker import Models
from tests.conftest import every_version
from tests.support import stubs
from tests.support.installs import install, make_role, schema_of, uninstall
from tests.support.workers import eventually, settings_for, working

Connection = asyncpg.Connection

TAKEN = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Connections to a database in which we are installed."""
    await install(database)
    pool = await open_pool(database, size=3)
    yield pool
    pool.terminate()


@pytest.fixture
async def photo(pool: Pool, immich: StandIn, owner: UUID) -> UUID:
    """A photo whose preview nobody reads."""
    return await immich.upload(stubs.picture(1), owner=owner, file_name="假期 IMG_0001.jpg", taken_at=TAKEN)


async def drain(pool: Pool) -> None:
    """Drain the inbox, as an indexer does: a new photo's facts are noted with its job."""
    await Queue(pool, uuid4(), Policy(max_attempts=1, retry_seconds=0, lease_seconds=60)).drain()


async def follow(pool: Pool) -> int:
    """Follow all changes. Returns the number of photos and names that had any."""
    total = 0
    await drain(pool)
    while taken := await pool.transact(lambda connection: facts.follow(connection, 100)):
        total += taken
    return total


async def known(pool: Pool, asset: UUID) -> Facts:
    """The facts of a photo, which must be those in its document."""
    await follow(pool)
    assert await facts.stale(pool, UUID(int=0), 1000, thorough=True) in ((max(await assets(pool)), []),)
    return (await facts.read(pool, [asset]))[asset]


async def assets(pool: Pool) -> list[UUID]:
    return [row["id"] for row in await pool.fetch("SELECT id FROM asset")]


async def has(pool: Pool, asset: UUID, field: Field, pair: str) -> bool:
    """Whether the document has these two characters, in that field."""
    query = f"' {field.group}{pair}':{field.weight}"
    return bool(
        await pool.fetchval(
            "SELECT document @@ $2::text::tsquery FROM immich_indexer.photo WHERE asset_id = $1", asset, query
        )
    )


@every_version
async def test_each_edit_is_followed(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    """A trigger tells of each, and afterwards the document holds what Immich's tables do."""
    found = await known(pool, photo)
    assert (found.owner, found.taken_at, found.day, found.kind) == (owner, TAKEN, date(2024, 5, 1), "image")
    assert found.values == {
        FILE: ["假期 IMG_0001.jpg"],
        DESCRIPTION: [""],
        PLACE: [],
        CAMERA: ["Stand-in Camera"],
        PERSON: [],
        TAG: [],
        ALBUM: [],
    }
    assert await has(pool, photo, FILE, "假期")

    await immich.describe(photo, "外婆家的火锅")
    assert (await known(pool, photo)).values[DESCRIPTION] == ["外婆家的火锅"]
    assert await has(pool, photo, DESCRIPTION, "火锅")
    await immich.describe(photo, "")
    await known(pool, photo)
    assert not await has(pool, photo, DESCRIPTION, "火锅")

    await immich.locate(photo, "上海", None, "中国")
    assert (await known(pool, photo)).values[PLACE] == ["上海", "中国"]
    assert await has(pool, photo, PLACE, "上海")
    assert not await has(pool, photo, DESCRIPTION, "上海")

    await immich.read_camera(photo, "Canon", "EOS R5", "RF 50mm")
    assert (await known(pool, photo)).values[CAMERA] == ["Canon EOS R5", "RF 50mm"]

    await immich.change_date(photo, datetime(2023, 12, 31, tzinfo=UTC))
    found = await known(pool, photo)
    assert (found.day, found.taken_at.year) == (date(2023, 12, 31), 2023)
    assert await pool.fetchval("SELECT document @@ $$' =2023年12月'$$ FROM immich_indexer.photo")
    assert not await pool.fetchval("SELECT document @@ $$' =2024'$$ FROM immich_indexer.photo")


@every_version
async def test_people(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    async def names(asset: UUID = photo) -> Any:
        return (await known(pool, asset)).values[PERSON]

    someone = await immich.recognise(photo)
    assert await names() == []
    await immich.name_person(owner, someone, "张三")
    assert await names() == ["张三"]
    assert await has(pool, photo, PERSON, "张三")
    await immich.hide_person(owner, someone)
    assert await names() == []
    await immich.hide_person(owner, someone, hidden=False)
    other = await immich.recognise(photo)
    await immich.name_person(owner, other, "李四")
    assert await names() == ["张三", "李四"]
    second = await immich.upload(stubs.picture(2), owner=owner)
    await immich.recognise(second, other)
    assert await names(second) == ["李四"]
    await immich.merge_people(owner, other, someone)
    assert (await names(), await names(second)) == (["张三"], ["张三"])
    await immich.remove_face(second, someone)
    assert await names(second) == []
    await immich.name_person(owner, someone, "")
    assert await names() == []
    await immich.name_person(owner, someone, "王五")
    await immich.delete_person(owner, someone)
    assert await names() == []
    assert not await has(pool, photo, PERSON, "王五")


@pytest.mark.parametrize("immich_version", ["3.2", "3.3"])
async def test_a_name_is_each_users_own(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    bob = await immich.create_user("bob")
    await immich.join_cluster(bob, owner)
    his = await immich.upload(stubs.picture(2), owner=bob)
    someone = await immich.recognise(photo)
    await immich.recognise(his, someone)
    await immich.name_person(owner, someone, "妈妈")
    await immich.name_person(bob, someone, "外婆")
    assert (await known(pool, photo)).values[PERSON] == ["妈妈"]
    assert (await known(pool, his)).values[PERSON] == ["外婆"]


@every_version
async def test_tags_and_albums(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    tag = await immich.tag(photo, "旅行/日本")
    assert (await known(pool, photo)).values[TAG] == ["旅行/日本"]
    await immich.rename_tag(tag, "出差")
    await follow(pool)
    assert await has(pool, photo, TAG, "出差")
    await immich.delete_tag(tag)
    assert (await known(pool, photo)).values[TAG] == []

    album = await immich.create_album(owner, "北海道", photo)
    assert (await known(pool, photo)).values[ALBUM] == ["北海道"]
    await immich.rename_album(album, "东京")
    assert (await known(pool, photo)).values[ALBUM] == ["东京"]
    await immich.remove_from_album(album, photo)
    assert (await known(pool, photo)).values[ALBUM] == []
    await immich.add_to_album(album, [photo])
    assert await has(pool, photo, ALBUM, "东京") is False
    await follow(pool)
    assert await has(pool, photo, ALBUM, "东京")
    await immich.delete_album(album)
    assert (await known(pool, photo)).values[ALBUM] == []


@every_version
async def test_an_album_is_its_owners_alone(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    """However it is shared: a photo that somebody else adds to it does not bear its name."""
    bob = await immich.create_user("bob")
    album = await immich.create_album(owner, "秘密", photo)
    await immich.share_album(album, bob)
    his = await immich.upload(stubs.picture(2), owner=bob)
    await immich.add_to_album(album, his)
    assert (await known(pool, his)).values[ALBUM] == []
    assert (await known(pool, photo)).values[ALBUM] == ["秘密"]
    await immich.stop_sharing_album(album, bob)
    assert (await known(pool, photo)).values[ALBUM] == ["秘密"]


@every_version
async def test_what_changes_nothing_writes_nothing(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    """Immich writes metadata and tags again and again. A document is written only if it would be another one."""
    await immich.tag(photo, "旅行")
    await immich.recognise(photo)
    await follow(pool)
    before = await pool.fetchval("SELECT xmin FROM immich_indexer.photo")
    await immich.refresh_metadata(photo)
    await immich.favourite(photo)
    assert await follow(pool), "the tags were deleted and inserted"
    assert await pool.fetchval("SELECT xmin FROM immich_indexer.photo") == before


@every_version
async def test_what_immich_writes_again_is_noted_once_or_not_at_all(
    pool: Pool, immich: StandIn, owner: UUID, photo: UUID
):
    """Immich waits for each row. A metadata refresh writes the same values, and all tags of a photo anew."""

    async def noted() -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await pool.fetch("DELETE FROM immich_indexer_2.change RETURNING kind, id")]

    someone = await immich.recognise(photo)
    await immich.name_person(owner, someone, "张三")
    album = await immich.create_album(owner, "相册", photo)
    await drain(pool)
    await noted()
    await immich.refresh_metadata(photo)
    await immich.name_person(owner, someone, "张三")
    await pool.execute('UPDATE album SET "updatedAt" = now()')
    assert await noted() == []
    await immich.tag(photo, "江南")
    await noted()
    await immich.refresh_metadata(photo)
    assert await noted() == [("photo", photo)]
    await immich.rename_album(album, "旅行")
    await immich.name_person(owner, someone, "李四")
    kinds = [kind for kind, _ in await noted()]
    assert kinds == ["album", "person"]


async def test_many_photos_wait_behind_new_uploads(pool: Pool, immich: StandIn, owner: UUID):
    """A person or tag renamed is one row for Immich's transaction, however many photos it is about."""
    photos = [await immich.receive(owner=owner) for _ in range(25)]
    album = await immich.create_album(owner, "旧", photos)
    someone = None
    for asset in photos:
        someone = await immich.recognise(asset, someone)
    assert someone is not None
    await follow(pool)
    await immich.rename_album(album, "新")
    await immich.name_person(owner, someone, "张三")
    noted = "SELECT kind, count(*), min(priority) FROM immich_indexer_2.change GROUP BY 1 ORDER BY 1"
    assert [tuple(row) for row in await pool.fetch(noted)] == [("album", 1, 10), ("person", 1, 10)]
    await pool.transact(lambda connection: facts.follow(connection, 100))
    assert [tuple(row) for row in await pool.fetch(noted)] == [("photo", 25, 15)]
    await immich.upload(stubs.picture(3), owner=owner)
    await drain(pool)
    first = await pool.transact(lambda connection: connection.fetch("SELECT * FROM immich_indexer_2.change ORDER BY 3"))
    assert first[0]["priority"] == 10
    assert first[0]["id"] not in photos
    await follow(pool)
    for asset in photos:
        assert await has(pool, asset, ALBUM, "新 ")
        assert await has(pool, asset, PERSON, "张三")


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE asset_exif SET description = '新'",
        "UPDATE asset SET \"localDateTime\" = '2020-01-01'",
        'UPDATE asset_face SET "isVisible" = false',
        "INSERT INTO album_asset SELECT (SELECT id FROM album), id FROM asset",
        'INSERT INTO tag_asset ("tagId", "assetId") SELECT (SELECT id FROM tag), id FROM asset',
    ],
    ids=["descriptions", "dates", "faces", "album", "tag"],
)
async def test_all_but_the_first_of_many_photos_wait_behind_new_uploads(
    pool: Pool, immich: StandIn, owner: UUID, edit: str
):
    photos = [await immich.upload(stubs.picture(1), owner=owner) for _ in range(45)]
    for asset in photos:
        await immich.recognise(asset)
    await immich.untag(photos[0], await immich.tag(photos[0], "江南"))
    await immich.create_album(owner, "相册")
    await pool.execute("DELETE FROM immich_indexer_2.change")
    await pool.execute(edit)
    noted = await pool.fetch("SELECT id, priority FROM immich_indexer_2.change")
    assert sum(change["priority"] == 10 for change in noted) == 20
    assert {change["id"] for change in noted} == set(photos)


async def test_two_who_follow_do_not_undo_each_other(pool: Pool, immich: StandIn, photo: UUID):
    """Whoever comes second has read what the first could not see yet."""
    await follow(pool)
    await immich.describe(photo, "旧的")
    async with pool.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        assert await facts.follow(slow, 100)
        await immich.describe(photo, "新的")
        other = asyncio.create_task(follow(pool))
        await eventually(
            lambda: pool.fetchval("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        )
        await transaction.commit()
        await other
    assert await has(pool, photo, DESCRIPTION, "新的")
    assert not await has(pool, photo, DESCRIPTION, "旧的")


async def test_the_text_and_the_facts_leave_each_other_alone(
    database: str, pool: Pool, immich: StandIn, connection: Connection, owner: UUID
):
    models = Models(stubs.StubClip(), stubs.StubOcr(say=lambda _: ["增值税专用发票"]), "cpu")
    async with working(settings_for(database, immich.media.directory), models):
        photo = await immich.upload(stubs.picture(1), owner=owner, taken_at=TAKEN)
        await eventually(lambda: connection.fetchval("SELECT document @@ '发票:A' FROM immich_indexer.photo"))
        await immich.describe(photo, "上海出差")
        await eventually(lambda: has(pool, photo, DESCRIPTION, "出差"))
        await connection.execute("SELECT immich_indexer.reprocess($1)", photo)
        await eventually(lambda: connection.fetchval("SELECT NOT EXISTS (SELECT FROM immich_indexer.job)"))
    marks = (
        "SELECT array_agg(lexeme) FROM immich_indexer.photo, unnest(tsvector_to_array(document)) AS lexeme"
        " WHERE lexeme ~ '^ \\d'"
    )
    assert await connection.fetchval("SELECT document @@ $$'发票':A & ' +出差':A$$::tsquery FROM immich_indexer.photo")
    before = await connection.fetchval(marks)
    await immich.change_date(photo, datetime(2010, 1, 1, tzinfo=UTC))
    await follow(pool)
    after = await connection.fetchval(marks)
    assert len(after) == len(before) == 3
    assert not set(after) & set(before)


@pytest.mark.parametrize("models", [Models(None, None, "cpu"), Models(None, stubs.StubOcr(), "cpu")])
async def test_a_photo_that_is_not_read_has_facts(
    database: str, pool: Pool, immich: StandIn, connection: Connection, owner: UUID, models: Models
):
    async with working(settings_for(database, immich.media.directory), models):
        photo = await immich.upload(b"no picture", owner=owner)
        await immich.describe(photo, "打不开")
        await eventually(lambda: has(pool, photo, DESCRIPTION, "打不"))
    assert await connection.fetchval("SELECT digest IS NULL FROM immich_indexer.photo")


async def test_what_was_missed_is_found(
    database: str, pool: Pool, immich: StandIn, connection: Connection, photo: UUID
):
    """A photo from before the installation, an edit while a trigger failed, a backup that was restored."""
    reconciler = Reconciler(pool, database, None, None)
    await connection.execute("TRUNCATE immich_indexer_2.change, immich_indexer.photo")
    first = await reconciler.round(thorough=False)
    assert first is not None
    assert first.facts == 1
    await immich.describe(photo, "没人知道")
    await connection.execute("TRUNCATE immich_indexer_2.change")
    quick = await reconciler.round(thorough=False)
    assert quick is not None
    assert quick.facts == 0
    thorough = await reconciler.round(thorough=True)
    assert thorough is not None
    assert thorough.facts == 1
    assert await has(pool, photo, DESCRIPTION, "知道")
    await connection.execute("DROP TRIGGER immich_indexer_update ON asset_exif")
    await immich.describe(photo, "触发器不在")
    mended = await reconciler.round(thorough=False)
    assert mended is not None
    assert mended.facts == 1


async def test_a_trigger_that_fails_does_not_fail_immich(
    pool: Pool, immich: StandIn, connection: Connection, owner: UUID, photo: UUID
):
    someone = await immich.recognise(photo)
    await connection.execute("ALTER TABLE immich_indexer_2.change RENAME TO elsewhere")
    await immich.describe(photo, "外婆")
    await immich.name_person(owner, someone, "张三")
    await immich.tag(photo, "旅行")
    album = await immich.create_album(owner, "北海道", photo)
    await immich.rename_album(album, "东京")
    await immich.upload(stubs.picture(4), owner=owner)
    await connection.execute("ALTER TABLE immich_indexer_2.elsewhere RENAME TO change")
    for asset in await assets(pool):
        await pool.transact(lambda connection, asset=asset: facts.refresh(connection, [asset]))
    assert (await known(pool, photo)).values[ALBUM] == ["东京"]


async def test_a_new_photo_has_its_facts_at_once(database: str, pool: Pool, immich: StandIn, owner: UUID):
    """The follower may have looked before the photo was noted: it is told again."""
    settings = settings_for(database, immich.media.directory)
    async with working(settings, Models(None, None, "cpu"), pace=WorkerPace(idle=3600)):
        for number in range(20):
            asset = await immich.upload(stubs.picture(number), owner=owner, file_name="新年.jpg")
            await eventually(lambda asset=asset: has(pool, asset, FILE, "新年"))


async def test_facts_that_cannot_be_written_do_not_hold_up_others(
    database: str, pool: Pool, immich: StandIn, connection: Connection, owner: UUID
):
    """As those of a photo whose document would be too large."""
    good, bad = [await immich.upload(stubs.picture(number), owner=owner) for number in range(2)]
    await connection.execute(f"ALTER TABLE immich_indexer.photo ADD CHECK (asset_id <> '{bad}' OR facts_hash IS NULL)")
    async with working(settings_for(database, immich.media.directory), Models(None, None, "cpu")):
        await immich.describe(bad, "坏")
        await immich.describe(good, "好的")
        await eventually(lambda: has(pool, good, DESCRIPTION, "好的"))


WRITTEN = (
    *("", " ", "a:b", 'it\'s "quoted"', "back\\slash", "👨‍👩‍👧", "שלום עולם", "‏مرحبا‎"),
    *("a" * 10_000, "发票" * 5_000, "word " * 2_000),
)


async def test_whatever_a_person_writes_is_taken(pool: Pool, immich: StandIn, owner: UUID, photo: UUID):
    someone = await immich.recognise(photo)
    for value in WRITTEN:
        await immich.name_person(owner, someone, value)
        await immich.describe(photo, value)
        await immich.tag(photo, value or "-")
        await immich.create_album(owner, value, photo)
        await known(pool, photo)
    assert await pool.fetchval("SELECT facts_version FROM immich_indexer.photo") == fields.VERSION


async def test_five_hundred_tags(pool: Pool, immich: StandIn, connection: Connection, photo: UUID):
    user = await connection.fetchval('SELECT "ownerId" FROM asset')
    await connection.execute(
        """WITH made AS (INSERT INTO tag ("userId", value) SELECT $1, '标签/' || n
               FROM generate_series(1, 500) n RETURNING id)
           INSERT INTO tag_asset ("assetId", "tagId") SELECT $2, id FROM made""",
        user,
        photo,
    )
    assert len((await known(pool, photo)).values[TAG]) == 500
    assert await pool.fetchval("SELECT long_facts ->> 'tag' LIKE '%标签 500%' FROM immich_indexer.photo")


async def test_only_eligible_photos_have_facts(pool: Pool, immich: StandIn, owner: UUID):
    hidden = await immich.upload(stubs.picture(5), owner=owner, visibility="hidden")
    await follow(pool)
    assert await pool.fetchval("SELECT count(*) FROM immich_indexer.photo") == 0
    await immich.unhide(hidden)
    await follow(pool)
    assert await pool.fetchval("SELECT count(*) FROM immich_indexer.photo") == 1
    await pool.transact(lambda connection: facts.refresh(connection, [uuid4()]))
    await immich.delete_for_good(hidden)
    await follow(pool)


@every_version
async def test_the_least_rights_suffice_and_nothing_stays(superuser_url: str, immich: StandIn, owner: UUID):
    before = await schema_of(superuser_url)
    role = await make_role(superuser_url)
    await install(role)
    pool = await open_pool(role, size=2)
    try:
        photo = await immich.receive(owner=owner)
        await immich.name_person(owner, await immich.recognise(photo), "张三")
        await immich.create_album(owner, "北海道", photo)
        found = await known(pool, photo)
        assert (found.values[PERSON], found.values[ALBUM]) == (["张三"], ["北海道"])
    finally:
        pool.terminate()
    await uninstall(role)
    assert "immich_indexer" not in await schema_of(superuser_url)
    assert before
