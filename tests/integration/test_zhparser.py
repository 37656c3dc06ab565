"""Chinese words by zhparser, on servers that have it: skipped elsewhere."""

from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from indexer.database import schema, zhparser
from indexer.demo import backup
from indexer.demo.immich import NEWEST, StandIn
from indexer.demo.server import THROWAWAY, EmbeddedServer, on_server
from indexer.errors import IndexerError
from indexer.text import tokens
from indexer.text.query import parse
from indexer.work.worker import Models
from tests.conftest import IMMICH_USER, execute, make_template
from tests.support import stubs
from tests.support.installs import edited, install, make_role, restore, schema_of, uninstall
from tests.support.workers import eventually, settings_for, working

pytestmark = pytest.mark.usefixtures("zhparser")

Connection = asyncpg.Connection

# role.sql creates the extension, where the server has it by then.
NOT_YET = "DROP SCHEMA IF EXISTS immich_indexer_zhparser CASCADE"
WORDS = "immich_indexer_zhparser.words"
EXTENSION = """SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE extname = 'zhparser'"""


async def weights(connection: Connection, text: str) -> dict[str, set[str]]:
    """The lexemes of a text's document, each with its weights."""
    rows = await connection.fetch(
        "SELECT lexeme, weights FROM unnest(immich_indexer.document($1, $2))", text, tokens.document([text]).ngrams
    )
    return {row["lexeme"]: set(row["weights"] or ()) for row in rows}


async def test_a_superuser_installs_the_extension_and_uninstall_removes_it(database: str, connection: Connection):
    before = await schema_of(database)
    change = await install(database)
    assert "zhparser ranks Chinese words" in change.done
    assert await connection.fetchval(EXTENSION) == "immich_indexer_zhparser"
    assert not await install(database)
    await uninstall(database)
    assert await connection.fetchval(EXTENSION) is None
    assert await schema_of(database) == before


@pytest.mark.parametrize("schema", ["public", "extensions"])
async def test_somebody_elses_extension_stays(database: str, connection: Connection, schema: str):
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE EXTENSION zhparser SCHEMA {schema}")
    before = await schema_of(database)
    await install(database)
    assert "D" in (await weights(connection, "北京大学"))["北京大学"]
    await uninstall(database)
    assert await connection.fetchval(EXTENSION) == schema
    assert await schema_of(database) == before


async def test_the_role_is_told_who_must_create_the_extension(database: str, connection: Connection):
    role = await make_role(database)
    await connection.execute(NOT_YET)
    change = await install(role)
    assert any(note.startswith("zhparser: start the service `role` again") for note in change.notes)
    assert "北京大学" not in await weights(connection, "北京大学")
    await connection.execute("CREATE EXTENSION zhparser")
    assert (await zhparser.advice(connection)).startswith("run `immich-indexer install`"), "no superuser is needed now"
    assert "zhparser ranks Chinese words" in (await install(role)).done
    assert await zhparser.advice(connection) is None
    assert "D" in (await weights(connection, "北京大学"))["北京大学"]
    await uninstall(role)
    assert await connection.fetchval(EXTENSION) == "public"


async def test_every_token_type_is_mapped(database: str, connection: Connection):
    await install(database)
    unmapped = await connection.fetch(
        f"""SELECT alias FROM ts_token_type((SELECT cfgparser FROM pg_ts_config WHERE oid = '{WORDS}'::regconfig))
            WHERE tokid NOT IN (SELECT maptokentype FROM pg_ts_config_map WHERE mapcfg = '{WORDS}'::regconfig)"""
    )
    assert unmapped == []


async def test_no_word_vanishes(database: str, connection: Connection):
    await install(database)
    text = "增值税专用发票 今天天气非常好，我们去北京大学吧！啊 ABC-123 order №42 金额：88.00元 二〇二四年"
    for token in await connection.fetch(f"SELECT alias, token, lexemes FROM ts_debug('{WORDS}', $1)", text):
        assert token["lexemes"] == [token["token"].lower()], token


async def test_words_weigh_d_and_pieces_weigh_a(database: str, connection: Connection):
    await install(database)
    found = await weights(connection, "北京大学的发票 No.42")
    assert found["北京大学"] == {"D"}  # a word that is no n-gram
    assert found["京大"] == {"A"}  # an n-gram that is no word
    assert found["发票"] == {"A", "D"}
    assert found["42"] == {"A", "D"}
    # so that what a person types is found by its pieces, and a word across pieces does not count as one
    query = parse("学的发").literal
    assert await connection.fetchval(
        "SELECT immich_indexer.document($1, $2) @@ $3::text::tsquery",
        "北京大学的发票",
        tokens.document(["北京大学的发票"]).ngrams,
        query,
    )


async def test_a_server_that_gets_zhparser_later(database: str, immich: StandIn, connection: Connection, owner: UUID):
    role = await make_role(database)
    await connection.execute(NOT_YET)
    ocr = stubs.StubOcr(say=lambda _: ["北京大学"])
    settings = settings_for(role, immich.media.directory, reconcile_seconds=0.2)
    has_words = "SELECT bool_and(document @@ '北京大学:D'::tsquery) FROM immich_indexer.photo"
    async with working(settings, Models(stubs.StubClip(), ocr, "cpu")):
        await immich.upload(stubs.picture(1), owner=owner)
        await eventually(
            lambda: connection.fetchval("SELECT count(digest) = 1 FROM immich_indexer.photo WHERE text <> ''")
        )
        assert not await connection.fetchval(has_words)
        await connection.execute("CREATE EXTENSION zhparser")
        await install(role)
        await eventually(lambda: connection.fetchval(has_words))
    assert ocr.calls == 1, "only the document is made again"


@pytest.mark.parametrize("create", [None, "CREATE EXTENSION zhparser"], ids=["ours", "public"])
async def test_backup_and_restore(database: str, immich_url: str, tmp_path: Path, create: str | None):
    if create:
        await execute(database, create)
    await install(database)
    await backup.dump(immich_url, tmp_path / "dump.sql")
    for _ in range(2):
        await restore(database, immich_url, tmp_path / "dump.sql")
        connection = await asyncpg.connect(database)
        try:
            assert "D" in (await weights(connection, "北京大学"))["北京大学"]
        finally:
            await connection.close()
    assert not await install(database)
    await uninstall(database)


async def test_a_backup_from_before_the_server_had_zhparser(database: str, immich_url: str, tmp_path: Path):
    """It knows nothing of the configuration, which therefore may not stand in the way of dropping our first schema."""
    role = await make_role(database)
    await install(role)
    await backup.dump(immich_url, tmp_path / "dump.sql")
    for who, create in ((database, "SELECT 1"), (role, "CREATE EXTENSION zhparser")):
        await execute(database, "DROP EXTENSION IF EXISTS zhparser CASCADE", create)
        await make_role(database)
        await install(who)
        await restore(database, immich_url, tmp_path / "dump.sql")
        await make_role(database)
        await install(database)
        connection = await asyncpg.connect(database)
        try:
            assert "D" in (await weights(connection, "北京大学"))["北京大学"]
        finally:
            await connection.close()


@pytest.mark.parametrize("installer", ["superuser", "role"])
async def test_a_backup_onto_a_server_without_zhparser(
    installer: str, database: str, immich_url: str, immich: StandIn, owner: UUID, connection: Connection, tmp_path: Path
):
    """By the command of docs/operations.md."""
    url = database if installer == "superuser" else await make_role(database)
    ocr = stubs.StubOcr(say=lambda _: ["CREATE zhparser 发票;"])
    async with working(settings_for(url, immich.media.directory), Models(stubs.StubClip(), ocr, "cpu")):
        await immich.upload(stubs.picture(1), owner=owner)
        await eventually(
            lambda: connection.fetchval("SELECT count(digest) = 1 FROM immich_indexer.photo WHERE text <> ''")
        )
    await backup.dump(immich_url, tmp_path / "with.sql")
    without = await edited(tmp_path / "with.sql", "WITHOUT.sql.gz")

    with EmbeddedServer(settings=THROWAWAY) as server:
        elsewhere = on_server(server.url(), await make_template(server.url(), NEWEST))
        theirs = on_server(elsewhere, urlsplit(elsewhere).path[1:], IMMICH_USER)
        await execute(elsewhere, "CREATE ROLE ii")
        with pytest.raises(IndexerError, match="zhparser"):
            await restore(elsewhere, theirs, tmp_path / "with.sql")
        await restore(elsewhere, theirs, without)
        url = elsewhere if installer == "superuser" else await make_role(elsewhere)
        await install(url)
        looking = await asyncpg.connect(elsewhere)
        try:
            assert await looking.fetchval("SELECT text FROM immich_indexer.photo") == "CREATE zhparser 发票;"
            assert await schema.is_current(looking)
        finally:
            await looking.close()
