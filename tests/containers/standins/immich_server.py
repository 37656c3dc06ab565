"""In place of Immich's server: makes Immich's tables where there are none, and answers its API."""

import asyncio
import os
from pathlib import Path

import asyncpg
from aiohttp import web

from indexer.demo.api import Api
from indexer.demo.immich import StandIn
from indexer.demo.media import MediaRoot

MEDIA = Path(os.environ.get("IMMICH_MEDIA_LOCATION", "/data"))


async def main() -> None:
    """Ends while there is no database, as Immich does, and is started again."""
    pool = await asyncpg.create_pool(
        host=os.environ.get("DB_HOSTNAME", "database"),
        user=os.environ["DB_USERNAME"],
        password=os.environ["DB_PASSWORD"],
        database=os.environ["DB_DATABASE_NAME"],
        min_size=1,
    )
    if await pool.fetchval("SELECT to_regclass('public.asset') IS NULL"):
        await asyncio.sleep(float(os.environ.get("SLOW_FIRST_START", "0")))  # seconds
        await StandIn(pool, MEDIA).install()
    runner = web.AppRunner(Api(pool, MediaRoot(MEDIA)).application())
    await runner.setup()
    await web.TCPSite(runner, port=2283).start()
    await asyncio.Event().wait()


asyncio.run(main())
