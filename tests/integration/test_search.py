"""Finding photos by what is written in them, in a real database."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import asyncpg
import pytest

from indexer import results, search
from indexer.database import connect_to_immich
from indexer.demo.immich import StandIn
from tests.installs import install

Write = Callable[..., Awaitable[UUID]]


@pytest.fixture
async def own(database: str):
    """A connection of ours, the schema installed."""
    await install(database)
    connection = await connect_to_immich(database)
    yield connection
    await connection.close()


@pytest.fixture
def write(own: asyncpg.Connection, immich: StandIn, owner: UUID) -> Write:
    """Makes a photo with these lines, all of the same height."""

    async def write(
        *lines: str, owner: UUID = owner, height: float = 0.03, hidden: Sequence[int] = (), **asset: object
    ) -> UUID:
        photo = await immich.receive(owner=owner, **asset)
        boxes = [
            [line, 0.1, 0.1 * n, 0.9, 0.1 * n, 0.9, 0.1 * n + height, 0.1, 0.1 * n + height, 0.9, 0.9, True]
            for n, line in enumerate(lines)
        ]
        await own.execute(
            "INSERT INTO immich_indexer.photo (asset_id, preview_updated_at, digest, lines) VALUES ($1, now(), '', $2)",
            photo,
            __import__("json").dumps(boxes),
        )
        async with own.transaction():
            await results.apply(own, [photo])
        return photo

    return write


async def ids(own: asyncpg.Connection, text: str, **options: object) -> list[UUID]:
    return [hit.asset_id for hit in await search.find(own, text, **options)]


@pytest.mark.parametrize(
    "query", ["发票", "發票", "票", "值税专用", "NO123", "o12", "ｎｏ１２３", "发票 合计", '"合计：88"', "8", "88.00"]
)
async def test_any_piece_finds_it(own, write, query):
    photo = await write("增值税专用发", "票 NO1234", "合计：88.00元")
    await write("别的")
    assert await ids(own, query) == [photo]


async def test_forgiven(own, write):
    photo = await write("增值税专用发票")
    await write("别的")
    for query in ("增值悦专用发票", "增值专用发票", "增值税税专用发票", "曾值税专用发票"):
        [hit] = await search.find(own, query)
        assert (hit.asset_id, hit.forgiven) == (photo, True)
