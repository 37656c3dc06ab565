"""`python -m tests.support.released`: writes down the schema of this version, with data, for test_upgrades.py.

Run it before a release. What was released is never written anew: tests/integration/test_upgrades.py migrates every one.
"""

import asyncio
import re
import tempfile
from pathlib import Path

import asyncpg

from indexer.database import schema
from indexer.demo.immich import NEWEST, StandIn
from indexer.demo.server import THROWAWAY, EmbeddedServer, on_server
from indexer.queue import requests
from tests.conftest import make_template
from tests.support import stubs
from tests.support.installs import run
from tests.support.workers import idle, settings_for, working

FOLDER = Path(__file__).parents[1] / "released"
_SETTINGS = re.compile(r"^(SET |SELECT pg_catalog\.set_config|--|\\(un)?restrict )")  # some are of one PostgreSQL only


async def write(folder: Path = FOLDER) -> Path:
    """The file that holds what an installation at work looks like: a photo read, one given up, one asked for."""
    with EmbeddedServer(settings=THROWAWAY) as server, tempfile.TemporaryDirectory() as media:
        url = on_server(server.url(), await make_template(server.url(), NEWEST))
        connection = await asyncpg.connect(url)
        try:
            immich = StandIn(connection, Path(media))
            owner = await immich.create_user("ann")
            async with working(settings_for(url, Path(media), max_attempts=1)):
                asset = await immich.upload(stubs.picture(1), owner=owner)
                await immich.upload(b"no picture", owner=owner)
                await idle(connection)
            await requests.request(connection, [asset], {"ocr"})
            path = folder / f"{schema.known_version()}.sql"
            dump = await run(url, "pg_dump", "--schema=immich_indexer*", "--no-owner", "--no-privileges", "--inserts")
            kept = (line.rstrip() for line in dump.splitlines() if line.strip() and not _SETTINGS.match(line))
            path.write_text("\n".join(kept) + "\n", encoding="utf-8")
        finally:
            await connection.close()
    return path


if __name__ == "__main__":
    print(asyncio.run(write()))  # noqa: T201 - for a person
