"""With `TEST_ROLE=least` our services connect as the role of sql/role.sql, as those of an installation should."""

import os

import pytest

from indexer.demo.immich import StandIn
from tests.installs import make_role

ROLE = os.environ.get("TEST_ROLE", "superuser")
if ROLE not in ("superuser", "least"):
    raise pytest.UsageError(f"TEST_ROLE is superuser or least, not {ROLE}")


@pytest.fixture
async def database(superuser_url: str) -> str:
    """The fresh database as our services connect to it."""
    return await make_role(superuser_url) if ROLE == "least" else superuser_url


@pytest.fixture
async def own_immich(own_immich: tuple[str, StandIn]) -> tuple[str, StandIn]:
    """The same on the private server."""
    url, immich = own_immich
    return await make_role(url) if ROLE == "least" else url, immich
