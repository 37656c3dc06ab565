"""Our services have the rights of sql/role.sql alone, as in an installation; with `TEST_ROLE=superuser` all rights."""

import os
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from gateway.people.pace import USUAL, ApiPace
from indexer.database.pool import connect_to_immich
from indexer.demo.immich import StandIn
from tests.support.installs import install, make_role
from tests.support.people import House, Person, house

ROLE = os.environ.get("TEST_ROLE", "least")
if ROLE not in ("least", "superuser"):
    raise pytest.UsageError(f"TEST_ROLE is least or superuser, not {ROLE}")


@pytest.fixture
async def database(superuser_url: str) -> str:
    """The fresh database as our services connect to it."""
    return await make_role(superuser_url) if ROLE == "least" else superuser_url


@pytest.fixture
async def own_immich(own_immich: tuple[str, StandIn]) -> tuple[str, StandIn]:
    """The same on the private server."""
    url, immich = own_immich
    return await make_role(url) if ROLE == "least" else url, immich


@pytest.fixture
async def own(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of ours, the schema installed."""
    await install(database)
    connection = await connect_to_immich(database)
    yield connection
    await connection.close()


@pytest.fixture
def pace() -> ApiPace:
    """The gateway's. A test that needs another one is parametrized with it."""
    return USUAL


@pytest.fixture
async def home(database: str, own: asyncpg.Connection, immich: StandIn, pace: ApiPace) -> AsyncIterator[House]:
    """A gateway beside that Immich."""
    async with house(database, immich, pace=pace) as home:
        yield home


@pytest.fixture
async def ann(home: House, owner: UUID) -> Person:
    """The owner, who asks it."""
    return await home.person(owner)
