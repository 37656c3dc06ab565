"""Databases to test against: `TEST_DATABASE_URL` where it is set, otherwise a server of our own."""

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
import structlog
from hypothesis import settings

from indexer.demo.immich import NEWEST, VERSIONS, StandIn, Version
from indexer.demo.server import THROWAWAY, EmbeddedServer, on_server

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("untimed")

if "PYTEST_XDIST_WORKER" in os.environ:  # one process of several: torch's threads spin while they wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ["WEIGHTS_SOURCE"] = "none"  # no test asks a host of the world


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a command of ours sets up, run in this process, would write into a stream that pytest has closed."""
    yield
    for handler in logging.getLogger().handlers[:]:
        if type(handler).__module__ == "indexer.logs":
            logging.getLogger().removeHandler(handler)
    structlog.reset_defaults()


#: How our own server copies a template: the files at once, which takes half the time of writing each page into the log.
STRATEGY = "" if "TEST_DATABASE_URL" in os.environ else "STRATEGY FILE_COPY"
IMMICH_ROLE = "stand_in"  # as long as `postgres`, the name in most installations: on that a restore depends
IMMICH_USER = f"{IMMICH_ROLE}:{IMMICH_ROLE}"  # its password is its name
EXTENSIONS = ("vector", "pg_trgm", "unaccent", "cube", "earthdistance")


async def execute(url: str, *commands: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for command in commands:
            await connection.execute(command)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A server as superuser: the database in the address is only good for making others."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    with EmbeddedServer(settings={**THROWAWAY, "max_connections": "200"}) as server:
        yield server.url()


@pytest.fixture(scope="session")
def templates(server_url: str) -> Iterator[dict[Version, str]]:
    """Names of template databases made so far, by Immich's version."""
    made: dict[Version, str] = {}
    yield made
    asyncio.run(execute(server_url, *(f"DROP DATABASE {name} WITH (FORCE)" for name in made.values())))


async def make_template(server_url: str, version: Version, role: str = IMMICH_ROLE) -> str:
    """A database with Immich's schema, all of it owned by Immich's own role, who is no superuser unless it was one."""
    name = f"immich_template_{version.replace('.', '_')}_{os.getpid()}"
    await execute(
        server_url,
        f"DO $$ BEGIN CREATE ROLE {role} LOGIN PASSWORD '{role}';"
        " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        f"CREATE DATABASE {name} OWNER {role}",
    )
    await execute(
        on_server(server_url, name), *(f"CREATE EXTENSION IF NOT EXISTS {extension}" for extension in EXTENSIONS)
    )
    connection = await asyncpg.connect(on_server(server_url, name, f"{role}:{role}"))
    try:
        await StandIn(connection, Path()).install(version)
    finally:
        await connection.close()
    return name


VERSION = os.environ.get("IMMICH_VERSION", NEWEST)
if VERSION not in VERSIONS:
    raise pytest.UsageError(f"IMMICH_VERSION is one of {', '.join(VERSIONS)}, not {VERSION}")

#: For a test whose subject differs between versions of Immich: it runs on each. The others run on `IMMICH_VERSION`.
every_version = pytest.mark.parametrize("immich_version", VERSIONS)
#: For one about what changed with Immich 3: its searches by meaning ask another question.
immich_2_and_3 = pytest.mark.parametrize("immich_version", ["2.7", NEWEST])


@pytest.fixture
def immich_version() -> Version:
    """Which Immich the stand-in is."""
    return VERSION


@pytest.fixture
async def superuser_url(server_url: str, templates: dict[Version, str], immich_version: Version) -> AsyncIterator[str]:
    """A fresh Immich database as superuser."""
    if immich_version not in templates:
        templates[immich_version] = await make_template(server_url, immich_version)
    name = f"immich_{uuid.uuid4().hex}"
    template = templates[immich_version]
    await execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} OWNER {IMMICH_ROLE} {STRATEGY}")
    yield on_server(server_url, name)
    await execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(superuser_url: str) -> str:
    """The same database as our services connect to it: as superuser, but in acceptance tests (see their conftest)."""
    return superuser_url


@pytest.fixture
def immich_url(superuser_url: str) -> str:
    """The same database as Immich's own role: it owns the database and every table, and is no superuser."""
    return on_server(superuser_url, urlsplit(superuser_url).path[1:], IMMICH_USER)


@pytest.fixture
async def immich(immich_url: str, tmp_path: Path) -> AsyncIterator[StandIn]:
    """Immich at work on that database, its files below `tmp_path / "media"`."""
    async with asyncpg.create_pool(immich_url, min_size=0, max_size=10) as pool:
        yield StandIn(pool, tmp_path / "media")


@pytest.fixture
async def owner(immich: StandIn) -> UUID:
    """Somebody with an account."""
    return await immich.create_user("ann")


@pytest.fixture
async def connection(superuser_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A superuser's connection to look with."""
    connection = await asyncpg.connect(superuser_url)
    yield connection
    await connection.close()


@pytest.fixture
def private_server() -> Iterator[EmbeddedServer]:
    """A server that a test may stop, restart and crash."""
    if "TEST_DATABASE_URL" in os.environ:
        pytest.skip(
            "restarts PostgreSQL: needs a server of its own, and TEST_DATABASE_URL names one we may not restart"
        )
    with EmbeddedServer(settings=THROWAWAY) as server:
        yield server


@pytest.fixture
async def own_immich(
    private_server: EmbeddedServer, tmp_path: Path, immich_version: Version
) -> AsyncIterator[tuple[str, StandIn]]:
    """A database on the private server, as superuser, and Immich at work on it."""
    url = on_server(private_server.url(), await make_template(private_server.url(), immich_version))
    async with asyncpg.create_pool(on_server(url, urlsplit(url).path[1:], IMMICH_USER), min_size=0, max_size=4) as pool:
        yield url, StandIn(pool, tmp_path / "media")


@pytest.fixture
async def zhparser(server_url: str) -> None:
    """For tests of Chinese word segmentation: skips where the server has no zhparser."""
    connection = await asyncpg.connect(server_url)
    try:
        offered = await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'zhparser'")
    finally:
        await connection.close()
    if not offered:
        pytest.skip("the server offers no extension zhparser")
