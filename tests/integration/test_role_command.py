"""`immich-indexer role`, as a container runs it: early, with Immich's login, again and again."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from indexer.demo.api import Api
from indexer.demo.immich import NEWEST, StandIn
from indexer.demo.server import on_server
from indexer.errors import IndexerError
from indexer.immich.api import Immich
from indexer.work import role
from tests.conftest import EXTENSIONS, IMMICH_ROLE, IMMICH_USER, execute
from tests.support.installs import install, make_role, make_role_by_command

PASSWORD = r"it's \ % :'password' $$ secret"


@asynccontextmanager
async def command(url: str, *arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from indexer.cli.main import main; main()", "role", *arguments),
        env={**os.environ, "DB_URL": url, "INDEXER_DB_PASSWORD": PASSWORD, **environment},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await asyncio.wait_for(stream.readline(), 30)).decode()


@pytest.fixture
async def empty(server_url: str, templates) -> AsyncIterator[str]:
    """A database of Immich's role in which Immich never started, as superuser."""
    name = f"empty_{uuid4().hex}"
    await execute(
        server_url,
        f"DO $$ BEGIN CREATE ROLE {IMMICH_ROLE} LOGIN PASSWORD '{IMMICH_ROLE}';"
        " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        f"CREATE DATABASE {name} OWNER {IMMICH_ROLE}",
    )
    url = on_server(server_url, name)
    await execute(url, *(f"CREATE EXTENSION IF NOT EXISTS {extension}" for extension in EXTENSIONS))
    yield url
    await execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


async def test_it_waits_for_immich_and_says_so(empty: str, tmp_path: Path):
    name = urlsplit(empty).path[1:]
    async with command(empty) as process:
        assert f"waiting: the database {name} lacks Immich's tables asset, " in await said(process.stdout)
        immich = await asyncpg.connect(on_server(empty, name, IMMICH_USER))
        await StandIn(immich, tmp_path).install(NEWEST)
        await immich.close()
        assert "the role ii exists" in await said(process.stdout)
        assert await process.wait() == 0
    ii = await asyncpg.connect(on_server(empty, name), user="ii", password=PASSWORD)
    assert await ii.fetchval("SELECT count(*) FROM asset") == 0
    await ii.close()


async def test_it_waits_until_immich_answers(database: str):
    """A newer Immich makes tables before it does."""
    port = unused_port()
    async with command(database, "--after-immich", IMMICH_URL=f"http://127.0.0.1:{port}") as process:
        assert f"waiting: cannot reach Immich at http://127.0.0.1:{port}" in await said(process.stdout)
        async with (
            asyncpg.create_pool(database, min_size=0) as pool,
            TestServer(Api(pool).application(), port=port),
        ):
            assert "the role ii exists" in await said(process.stdout)
            assert await process.wait() == 0


async def test_an_address_that_is_not_immichs_keeps_nobody_waiting(database: str):
    async with (
        TestServer(web.Application()) as server,
        command(database, "--after-immich", IMMICH_URL=str(server.make_url(""))) as process,
    ):
        assert "is not Immich: 404" in await said(process.stdout)
        assert "the role ii exists" in await said(process.stdout)
    async with Immich("http://127.0.0.1:1") as immich:
        heard: list[str] = []
        await role.await_immich(immich, say=heard.append, patience=0)
        assert "not waiting for Immich: cannot reach Immich" in heard[-1]


async def test_it_stops_when_it_is_told_to(empty: str):
    async with command(empty) as process:
        await said(process.stdout)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 130


async def test_without_a_password_it_asks_for_one(database: str):
    async with command(database, INDEXER_DB_PASSWORD="") as process:
        assert "INDEXER_DB_PASSWORD is not set: choose a password" in await said(process.stderr)
        assert await process.wait() == 1


async def test_a_login_that_may_not_is_told_so(database: str, immich_url: str):
    own = await make_role(database)
    for url in (immich_url, own):
        with pytest.raises(IndexerError, match=r"^the login in DB_USERNAME may not make a role: permission denied"):
            await role.make(url, "secret", say=pytest.fail, patience=60)
    with pytest.raises(IndexerError, match=r"^the database refused the login: .*this command logs in as Immich"):
        await role.make(on_server(database, urlsplit(database).path[1:], "nobody:x"), "x", say=pytest.fail, patience=60)


async def test_nobody_waits_for_ever(empty: str):
    heard: list[str] = []
    with pytest.raises(IndexerError, match=r"gave up after 0 s: the database \w+ lacks Immich's tables"):
        await role.make(empty, "secret", say=heard.append, patience=0)
    assert len(heard) == 1
    gone = "postgresql://immich:x@127.0.0.1:1/immich"
    with pytest.raises(IndexerError, match=r"gave up after 0 s: cannot reach the database: .*Connect call failed"):
        await role.make(gone, "secret", say=heard.append, patience=0)


async def test_at_work_it_waits_for_nobody(database: str):
    """It runs at each start, and an indexer may be in the middle of writing."""
    own = await asyncpg.connect(await make_role(database))
    await install(await make_role(database))
    async with own.transaction():
        await own.execute("LOCK TABLE immich_indexer.photo IN ROW EXCLUSIVE MODE")
        await make_role_by_command(database)
    await own.close()


async def test_two_at_once(database: str):
    await asyncio.gather(*(make_role_by_command(database) for _ in range(4)))


def test_of_psqls_own_it_leaves_nothing():
    script = role.script("'secret'")
    assert "\\" not in [line[:1] for line in script.splitlines()]
    assert script.count("'secret'") == 1
    assert ":'password'" not in script
