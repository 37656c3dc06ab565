"""Photos chosen instead of named, and the command that reads them again."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from click.testing import CliRunner, Result

from indexer.cli.main import main
from indexer.demo.immich import StandIn
from indexer.errors import RequestError
from indexer.photos.lines import StoredLine, dump_lines
from indexer.queue import requests
from indexer.queue.claims import Queue
from indexer.queue.retries import Policy
from indexer.queue.selection import Selection
from tests.support import stubs
from tests.support.installs import install

Connection = asyncpg.Connection
LINE = dump_lines([StoredLine("发票", (0.1,) * 8, 0.9, 0.9)])


@pytest.fixture
async def photos(immich: StandIn, database: str, connection: Connection, owner: UUID) -> list[UUID]:
    """Of 1 to 4 June: the first with text, the second without, the third by older models, the fourth not read yet."""
    await install(database)
    assets = [
        await immich.upload(stubs.picture(day), owner=owner, taken_at=datetime(2024, 6, day, 23, 30, tzinfo=UTC))
        for day in (1, 2, 3, 4)
    ]
    hidden = await immich.upload(stubs.picture(5), owner=owner, taken_at=datetime(2024, 6, 1, tzinfo=UTC))
    await immich.hide(hidden)
    for asset, model, lines in zip(
        [*assets[:3], hidden], ["new", "new", "old", "old"], [LINE, "[]", LINE, "[]"], strict=True
    ):
        await connection.execute(
            "INSERT INTO immich_indexer.photo"
            " (asset_id, preview_updated_at, digest, clip_model, clip, ocr_model, lines)"
            " VALUES ($1, now(), '', $2, '[1]', $2, $3::text::jsonb)",
            asset,
            model,
            lines,
        )
    await connection.execute("DELETE FROM immich_indexer.inbox")
    return assets


async def numbers(connection: Connection, photos: list[UUID], selection: Selection) -> list[int]:
    return [photos.index(asset) + 1 for asset in await selection.photos(connection)]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), [4, 3, 2, 1]),
        (Selection(after=datetime(2024, 6, 2)), [4, 3, 2]),
        (Selection(before=datetime(2024, 6, 2)), [1]),
        (Selection(after=datetime(2024, 6, 2), before=datetime(2024, 6, 4)), [3, 2]),
        (Selection(no_text=True), [2]),
        (Selection(models=("new", "new")), [3]),
        (Selection(models=("old", "new")), [3, 2, 1]),
        (Selection(models=(None, "new")), [3]),
        (Selection(models=(None, None)), []),
        (Selection(models=("old", "old"), no_text=True), [2]),
    ],
)
async def test_what_is_chosen(connection, photos, selection, expected):
    assert await numbers(connection, photos, selection) == expected


async def test_an_album(immich, connection, photos):
    owner = await connection.fetchval('SELECT "ownerId" FROM asset LIMIT 1')
    first = await immich.create_album(owner, "旅行", [photos[0], photos[2]])
    await immich.create_album(owner, "旅行", photos[1])
    with pytest.raises(RequestError, match=f"2 albums are called '旅行': name one by its id: .*{first}"):
        await Selection(album="旅行").photos(connection)
    assert await numbers(connection, photos, Selection(album=str(first).upper())) == [3, 1]
    await connection.execute('UPDATE album SET "deletedAt" = now() WHERE id = $1', first)
    assert await numbers(connection, photos, Selection(album="旅行")) == [2]
    with pytest.raises(RequestError, match="there is no album '旅'"):
        await Selection(album="旅").photos(connection)


async def test_what_failed(connection, photos):
    await connection.execute(
        "INSERT INTO immich_indexer.job (asset_id, tasks, priority, attempts, dead, error) VALUES"
        " ($1, '{ocr}', 10, 4, true, 'unreadable'), ($2, '{ocr}', 10, 1, false, 'unreadable'),"
        " ($3, '{ocr}', 10, 0, false, NULL)",
        *photos[:3],
    )
    assert await numbers(connection, photos, Selection(failed=True)) == [2, 1]
    assert await requests.request(connection, [photos[0]]) == 1
    worker = Queue(connection, photos[0], Policy(1, 0, 60))  # type: ignore[arg-type]
    await worker.drain()
    assert await numbers(connection, photos, Selection(failed=True)) == [2], "it is to be tried again"


# The command


@pytest.fixture
def reprocess(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)

    async def run(*arguments: str, answer: str | None = None) -> Result:
        def call() -> Result:
            runner = CliRunner(env={"DB_URL": database})
            with pytest.MonkeyPatch.context() as patch:
                if answer is not None:
                    patch.setattr("indexer.cli.photos.is_interactive", lambda: True)
                return runner.invoke(main, ["reprocess", *arguments], input=answer)

        return await asyncio.to_thread(call)

    return run


async def wished(connection: Connection) -> set[UUID]:
    return {row["asset_id"] for row in await connection.fetch("SELECT asset_id FROM immich_indexer.inbox")}


async def test_how_many_is_asked_first(connection, photos, reprocess):
    asked = await reprocess("--after", "2024-06-02", answer="n\n")
    assert "Read 3 photos again?" in asked.output
    assert await wished(connection) == set()
    alone = await reprocess("--after", "2024-06-02")
    assert alone.exit_code == 1
    assert await wished(connection) == set()
    asked = await reprocess("--after", "2024-06-02", "--ocr", answer="y\n")
    assert asked.exit_code == 0
    assert await wished(connection) == set(photos[1:])
    assert await connection.fetchval("SELECT array_agg(DISTINCT tasks[1]) FROM immich_indexer.inbox") == ["ocr!"]


async def test_yes_answers_beforehand(connection, photos, reprocess):
    assert (await reprocess("--no-text", "--yes")).exit_code == 0
    assert await wished(connection) == {photos[1]}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--yes"],
        ["--ocr"],
        ["00000000-0000-0000-0000-000000000001", "--no-text"],
        ["1234"],
        ["--after", "yesterday"],
        ["--album", "nowhere", "--yes"],
        ["00000000-0000-0000-0000-000000000001"],
    ],
)
async def test_nonsense_changes_nothing(connection, photos, reprocess, arguments):
    assert (await reprocess(*arguments)).exit_code != 0
    assert await wished(connection) == set()
