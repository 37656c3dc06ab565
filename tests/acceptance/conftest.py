"""Our services have the rights of sql/role.sql alone, as in an installation; with `TEST_ROLE=superuser` all rights."""

import os

import pytest

from indexer.demo.immich import StandIn
from tests.installs import make_role

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
