"""The stand-in behaves as the real Immich was seen to behave."""

from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from indexer.demo import backup, media
from indexer.demo.immich import OcrLine, StandIn
from indexer.demo.server import EmbeddedServer
from indexer.errors import IndexerError
from tests.conftest import every_version

Connection = asyncpg.Connection

INVOICE = OcrLine("发票 NO123", box=(0.1, 0.1, 0.4, 0.1, 0.4, 0.2, 0.1, 0.2))
TOTAL = OcrLine("合计 88.00", box=(0.6, 0.8, 0.9, 0.8, 0.9, 0.9, 0.6, 0.9))


def vector(*first: float, width: int = 512) -> list[float]:
    return [*first, *[0.0] * (width - len(first))]


async def test_upload_leaves_what_immich_leaves(immich: StandIn, connection: Connection, asset: UUID, preview: bytes):
    row = await connection.fetchrow("SELECT * FROM asset WHERE id = $1", asset)
    assert (row["status"], row["visibility"], row["width"], row["height"]) == ("active", "timeline", 300, 200)
    assert row["thumbhash"]
    assert row["updatedAt"] > row["createdAt"]
    files = await connection.fetch('SELECT * FROM asset_file WHERE "assetId" = $1 ORDER BY type', asset)
    assert [(file["type"], file["isEdited"]) for file in files] == [("preview", False), ("thumbnail", False)]
    text = str(asset)
    path = f"/data/thumbs/{row['ownerId']}/{text[0:2]}/{text[2:4]}/{text}_preview.jpeg"
    assert files[0]["path"] == path
    assert immich.media.read(path) == preview
    status = await connection.fetchrow('SELECT * FROM asset_job_status WHERE "assetId" = $1', asset)
    assert status["metadataExtractedAt"]
    assert status["ocrAt"] is None


async def test_the_row_of_a_preview_comes_after_its_file(immich: StandIn, connection: Connection, owner: UUID, preview):
    asset = await immich.receive(owner=owner)
    assert await connection.fetchval('SELECT count(*) FROM asset_file WHERE "assetId" = $1', asset) == 0
    await immich.generate_thumbnails(asset, preview)
    paths = await connection.fetch('SELECT path FROM asset_file WHERE "assetId" = $1', asset)
    assert len(paths) == 2
    assert all(immich.media.on_disk(row["path"]).exists() for row in paths)


async def test_the_video_of_a_motion_photo_gets_no_preview(immich: StandIn, connection: Connection, owner, preview):
    asset = await immich.upload(preview, owner=owner, kind="VIDEO", visibility="hidden")
    assert await connection.fetchval('SELECT count(*) FROM asset_file WHERE "assetId" = $1', asset) == 0


async def test_every_change_of_an_asset_is_an_update(immich: StandIn, connection: Connection, asset: UUID):
    async def state() -> tuple[object, ...]:
        row = await connection.fetchrow(
            'SELECT status, visibility, "deletedAt" IS NULL, "isFavorite", "isOffline" FROM asset WHERE id = $1', asset
        )
        return tuple(row)

    await immich.trash(asset)
    assert await state() == ("trashed", "timeline", False, False, False)
    await immich.restore(asset)
    await immich.archive(asset)
    assert await state() == ("active", "archive", True, False, False)
    await immich.hide(asset)
    assert await state() == ("active", "hidden", True, False, False)
    await immich.lock(asset)
    assert await state() == ("active", "locked", True, False, False)
    await immich.unhide(asset)
    await immich.favourite(asset)
    assert await state() == ("active", "timeline", True, True, False)
    await immich.go_offline(asset)
    assert await state() == ("active", "timeline", False, True, True)
    await immich.come_online(asset)
    assert await state() == ("active", "timeline", True, True, False)


async def test_deleting_for_good_cascades(immich: StandIn, connection: Connection, asset: UUID):
    await immich.immich_clip_job(asset, vector(1))
    await immich.immich_ocr_job(asset, [INVOICE])
    await immich.delete_for_good(asset)
    for table in ("asset_file", "asset_exif", "asset_job_status", "smart_search", "asset_ocr", "ocr_search"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await connection.fetchval("SELECT count(*) FROM asset_audit") == 1
    assert not [file for file in immich.media.directory.rglob("*") if file.is_file()]


async def test_ocr_job_replaces_lines_and_text(
    immich: StandIn, connection: Connection, asset: UUID, immich_version: str
):
    await immich.immich_ocr_job(asset, [INVOICE, TOTAL])
    await immich.immich_ocr_job(asset, [TOTAL])
    assert await connection.fetchval("SELECT array_agg(text) FROM asset_ocr") == ["合计 88.00"]
    assert await connection.fetchval("SELECT text FROM ocr_search") == "合计 88.00"
    if immich_version != "2.7":
        assert await connection.fetchval("SELECT count(*) FROM asset_ocr_audit") == 2
    await immich.immich_ocr_job(asset, [])
    assert await connection.fetchval("SELECT count(*) FROM ocr_search") == 0
    assert await connection.fetchval('SELECT "ocrAt" FROM asset_job_status') is not None


async def test_regenerating_thumbnails_forgets_the_text(immich: StandIn, connection: Connection, asset: UUID, preview):
    await immich.immich_ocr_job(asset, [INVOICE])
    before = await connection.fetch('SELECT * FROM asset_file WHERE "assetId" = $1 ORDER BY id', asset)
    await immich.regenerate_thumbnails(asset, preview + b"\0")
    assert await connection.fetchval("SELECT text FROM ocr_search") == ""
    assert await connection.fetchval("SELECT count(*) FROM asset_ocr") == 1
    assert await connection.fetch('SELECT * FROM asset_file WHERE "assetId" = $1 ORDER BY id', asset) == before
    assert immich.media.read(next(row["path"] for row in before if row["type"] == "preview")) == preview + b"\0"


async def test_another_preview_format_is_another_path(immich: StandIn, connection: Connection, asset: UUID):
    query = """SELECT path, "updateId" FROM asset_file WHERE type = 'preview'"""
    old = await connection.fetchrow(query)
    await immich.change_preview_format(asset, "webp")
    new = await connection.fetchrow(query)
    assert new["path"] == old["path"].replace(".jpeg", ".webp")
    assert new["updateId"] != old["updateId"]
    assert immich.media.read(new["path"])[8:12] == b"WEBP"
    assert not immich.media.on_disk(old["path"]).exists()


async def test_a_crop_hides_what_it_cuts_away(immich: StandIn, connection: Connection, asset: UUID):
    await immich.immich_ocr_job(asset, [INVOICE, TOTAL])
    await immich.edit(asset, crop=(0, 0, 150, 100))
    visible = 'SELECT array_agg(text ORDER BY text) FROM asset_ocr WHERE "isVisible"'
    assert await connection.fetchval(visible) == ["发票 NO123"]
    assert await connection.fetchval("SELECT text FROM ocr_search") == "发票 NO123"
    row = await connection.fetchrow('SELECT "isEdited", width, height FROM asset')
    assert tuple(row) == (True, 150, 100)
    files = await connection.fetch('SELECT type FROM asset_file WHERE "isEdited" ORDER BY type')
    assert [file["type"] for file in files] == ["fullsize", "preview", "thumbnail"]

    await immich.remove_edits(asset)
    assert await connection.fetchval(visible) == ["发票 NO123", "合计 88.00"]
    assert await connection.fetchval("SELECT text FROM ocr_search") == "合计 88.00"
    assert not await connection.fetchval('SELECT "isEdited" FROM asset')
    assert await connection.fetchval('SELECT count(*) FROM asset_file WHERE "isEdited"') == 0


async def test_only_tags_from_metadata_survive_a_refresh(immich: StandIn, connection: Connection, asset: UUID):
    await immich.tag(asset, "receipts")
    await connection.execute(
        """WITH t AS (INSERT INTO tag ("userId", value) SELECT "ownerId", 'by hand' FROM asset RETURNING id)
        INSERT INTO tag_asset ("assetId", "tagId") SELECT $1, id FROM t""",
        asset,
    )
    await immich.refresh_metadata(asset)
    tags = await connection.fetch('SELECT value FROM tag_asset JOIN tag ON tag.id = "tagId"')
    assert [row["value"] for row in tags] == ["receipts"]
    assert await connection.fetchval("SELECT count(*) FROM asset_file WHERE type = 'sidecar'") == 1


async def test_a_change_of_model_has_a_half_way(immich: StandIn, connection: Connection, asset: UUID):
    await immich.immich_clip_job(asset, vector(1))
    async with immich.clip_model_change(1024):
        assert await connection.fetchval("SELECT count(*) FROM smart_search") == 0
        with pytest.raises(asyncpg.CheckViolationError):
            await immich.immich_clip_job(asset, vector(1))
    await immich.immich_clip_job(asset, vector(1, width=1024))
    with pytest.raises(asyncpg.DataError, match="expected 1024 dimensions, not 512"):
        await immich.immich_clip_job(asset, vector(1))
    await immich.smart_search_all()
    assert await connection.fetchval("SELECT count(*) FROM smart_search") == 0
    assert await connection.fetchval("SELECT count(*) FROM pg_indexes WHERE indexname = 'clip_index'") == 1


async def test_ocr_all_empties_both_tables(immich: StandIn, connection: Connection, asset: UUID):
    await immich.immich_ocr_job(asset, [INVOICE])
    await immich.ocr_all()
    assert await connection.fetchval("SELECT count(*) FROM asset_ocr") == 0
    assert await connection.fetchval("SELECT count(*) FROM ocr_search") == 0


async def test_searches_find_what_immich_finds(immich: StandIn, owner: UUID, preview: bytes):
    near, far, archived = [await immich.upload(preview, owner=owner) for _ in range(3)]
    await immich.immich_clip_job(near, vector(1))
    await immich.immich_clip_job(far, vector(0, 1))
    await immich.immich_clip_job(archived, vector(1, 0.5))
    await immich.archive(archived)
    assert await immich.smart_search(vector(1, 0.1), owner, version="3.1") == [near, archived, far]
    assert await immich.smart_search(vector(1, 0.1), owner, version="2.7") == [near, far]
    assert await immich.smart_search(vector(1, 0.1), owner, version="3.1", size=1, page=2) == [archived]

    await immich.immich_ocr_job(near, [INVOICE])
    for query, found in (("发票", True), ("no12", True), ("票", False), ("增值 值税 税专 专用 用发 发票", False)):
        assert (await immich.ocr_filter(query.split(), owner) == [near]) is found, query


@every_version
async def test_what_phones_are_told_of_lines(immich: StandIn, connection: Connection, asset: UUID, immich_version: str):
    """2.7 tells them nothing, 3.1 not of lines that a crop hides."""
    columns = """SELECT array_agg(column_name::text ORDER BY column_name) FROM information_schema.columns
        WHERE table_name = 'asset_ocr' AND column_name LIKE 'update%'"""
    await immich.immich_ocr_job(asset, [INVOICE, TOTAL])
    if immich_version == "2.7":
        assert await connection.fetchval(columns) is None
        assert await connection.fetchval("SELECT to_regclass('asset_ocr_audit')") is None
        return
    new = ["updateId", "updatedAt"] if immich_version >= "3.2" else ["updateId"]
    assert await connection.fetchval(columns) == new
    versions = 'SELECT text, "updateId" FROM asset_ocr'
    before = dict(await connection.fetch(versions))
    await immich.edit(asset, crop=(0, 0, 150, 100))
    told = {text for text, version in await connection.fetch(versions) if version != before[text]}
    assert told == ({INVOICE.text, TOTAL.text} if immich_version >= "3.2" else set())


@pytest.mark.parametrize("immich_version", ["2.7"])
async def test_immich_2_7(immich: StandIn, connection: Connection):
    kinds = (
        """SELECT data_type FROM information_schema.columns WHERE (table_name, column_name) = ('asset', 'duration')"""
    )
    assert await connection.fetchval(kinds) == "character varying"
    await immich.upgrade("3.1")
    assert await connection.fetchval(kinds) == "integer"
    assert await immich.version() == "3.1"


NAMES = {
    "person": """SELECT p.name FROM asset_face f JOIN person p ON p.id = f."personId"
        JOIN asset a ON a.id = f."assetId" AND a."ownerId" = p."ownerId" WHERE f."assetId" = $1 AND p."ownerId" = $2""",
    "group": """SELECT p.name FROM asset_face f JOIN person p USING ("personGroupId")
        WHERE f."assetId" = $1 AND p."ownerId" = $2""",
}


@every_version
async def test_people_are_called_what_each_user_calls_them(
    immich: StandIn, connection: Connection, owner: UUID, asset: UUID, preview: bytes, immich_version: str
):
    bob = await immich.create_user("bob")
    person = await immich.recognise(asset)
    await immich.name_person(owner, person, "奶奶")
    if immich_version < "3.2":
        assert await connection.fetchval(NAMES["person"], asset, owner) == "奶奶"
        await immich.upgrade()
    names = NAMES["group"]
    assert await connection.fetchval(names, asset, owner) == "奶奶"
    assert await connection.fetch(names, asset, bob) == []
    await immich.join_cluster(bob, owner)
    his = await immich.upload(preview, owner=bob)
    assert await immich.recognise(his, person) == person
    await immich.name_person(bob, person, "妈妈")
    assert [await connection.fetchval(names, his, user) for user in (owner, bob)] == ["奶奶", "妈妈"]
    if await immich.version() == "3.3":
        eve = await immich.create_user("eve")
        await immich.share_person(owner, person, eve)
        assert await connection.fetchval(names, asset, eve) == "奶奶"


@every_version
async def test_what_immich_sends_of_an_edited_photo(immich: StandIn, asset: UUID, preview: bytes, immich_version: str):
    tasks = ("clip", "ocr", "facial-recognition")
    assert [await immich.ml_picture(asset, task) for task in tasks] == [preview] * 3
    await immich.edit(asset, crop=(0, 0, 150, 100))
    sent = [await immich.ml_picture(asset, task) for task in tasks]
    assert sent[:2] == [preview] * 2
    assert media.size(sent[2]) == ((150, 100) if immich_version >= "3.2" else (300, 200))


@pytest.mark.parametrize("immich_version", ["3.2", "3.3"])
async def test_a_search_with_a_filter_leaves_out_locked_photos_only(immich: StandIn, owner: UUID, preview: bytes):
    photos = [await immich.upload(preview, owner=owner) for _ in range(5)]
    shown, trashed, hidden, archived, locked = photos
    for place, photo in enumerate(photos):
        await immich.immich_clip_job(photo, vector(1, place / 10))
        await immich.immich_ocr_job(photo, [INVOICE] if photo != archived else [TOTAL])
    await immich.trash(trashed)
    await immich.hide(hidden)
    await immich.archive(archived)
    await immich.lock(locked)
    assert await immich.smart_search(vector(1), owner) == [shown, hidden, archived]
    assert await immich.filtered_search(vector(1), owner) == [shown, trashed, hidden, archived]
    assert await immich.filtered_search(vector(1), owner, ocr_tokens=["发票"]) == [shown, trashed, hidden]
    assert await immich.filtered_search(vector(1), owner, size=1) == [shown]


@pytest.mark.parametrize("immich_version", ["3.1", "3.3"])
async def test_renaming_and_deleting_a_tag(immich: StandIn, connection: Connection, asset: UUID, immich_version: str):
    """3.3 writes it into the photos' metadata, where a refresh finds it."""
    tag = await immich.tag(asset, "receipts")
    await immich.tag(asset, "holiday")
    await immich.rename_tag(tag, "发票")
    tags = 'SELECT array_agg(t.value ORDER BY t.value) FROM tag_asset JOIN tag t ON t.id = "tagId"'
    metadata = "SELECT tags FROM asset_exif"
    old = "发票" if immich_version == "3.3" else "receipts"
    assert await connection.fetchval(tags) == ["holiday", "发票"]
    assert await connection.fetchval(metadata) == sorted(["holiday", old])
    await immich.delete_tag(tag)
    assert await connection.fetchval(tags) == ["holiday"]
    assert await connection.fetchval(metadata) == (["holiday"] if immich_version == "3.3" else ["holiday", "receipts"])


async def test_backup_and_restore(database: str, immich: StandIn, asset: UUID, tmp_path: Path):
    await immich.immich_clip_job(asset, vector(1))
    await immich.immich_ocr_job(asset, [INVOICE])
    await backup.dump(database, tmp_path / "dump.sql")
    await immich.delete_for_good(asset)

    await backup.restore(database, tmp_path / "dump.sql")

    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT id FROM asset") == asset
    assert await connection.fetchval("SELECT text FROM ocr_search") == "发票 NO123"
    owners = await connection.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert [row["tableowner"] for row in owners] == [await connection.fetchval("SELECT current_user")]
    await connection.execute("UPDATE asset SET thumbhash = NULL")
    await connection.close()


async def test_a_restore_that_fails_changes_nothing(database: str, immich: StandIn, asset: UUID, tmp_path: Path):
    (tmp_path / "broken.sql").write_text("SELECT nonsense;\n")
    with pytest.raises(IndexerError, match="nonsense"):
        await backup.restore(database, tmp_path / "broken.sql")
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT id FROM asset") == asset
    await connection.close()


async def test_immichs_own_role_is_no_superuser(immich: StandIn):
    assert not await immich.database.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


async def test_a_server_survives_a_crash(private_server: EmbeddedServer):
    connection = await asyncpg.connect(private_server.url())
    await connection.execute("CREATE TABLE kept (x int)")
    private_server.restart("immediate")
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, ConnectionError)):
        await connection.fetch("SELECT 1")
    connection = await asyncpg.connect(private_server.url())
    await connection.fetch("SELECT * FROM kept")
    await connection.close()
