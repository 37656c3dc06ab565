"""How much memory the indexer and the gateway take, each with the processes of its models, while both are at work."""

import argparse
import asyncio
import itertools
from pathlib import Path

import aiohttp
import asyncpg

from bench.gateway import TEXTUAL, queries, workplace
from bench.models_side import memory
from bench.pipeline import idle
from bench.services import OWN, free_port, predict, service, until_it_answers
from indexer.demo.immich import StandIn
from indexer.demo.pictures import draw_all
from indexer.settings import Settings

NAME = "memory"
DESCRIPTION = "memory of the indexer and the gateway together, while one reads pictures and the other answers searches"

_AT_ONCE = 4  # searches
_PATIENCE = 1200  # seconds for all of it


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns `peak_mb`, the sum of what each process had at most, and `now_mb`, what all had at the end.

    `indexer_...` and `gateway_...` are of one alone. Libraries that several processes have count once.
    """
    with workplace(options) as (settings, folder):
        measured = _measure(settings, folder, 100 if options.quick else 1000)
        return asyncio.run(asyncio.wait_for(measured, _PATIENCE))


async def _measure(settings: Settings, folder: Path, searches: int) -> dict[str, object]:
    pictures = [picture.path.read_bytes() for picture in draw_all(folder / "pictures")]
    port = free_port()
    pool = await asyncpg.create_pool(settings.dsn, min_size=1, max_size=4)
    try:
        immich = StandIn(pool, folder / "media")
        await immich.install()
        owner = await immich.create_user("bench")
        environment = {
            "DB_URL": settings.dsn,
            "MEDIA_PATH_MAP": f"/data={folder / 'media'}",
            "CLIP_MODEL": settings.clip_model,
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "LOG_LEVEL": "error",
        }
        async with (
            service([str(OWN / "immich-indexer"), "run"], environment) as indexer,
            service([str(OWN / "immich-gateway")], environment) as gateway,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        ):
            await until_it_answers(session, "/ping")
            while await pool.fetchval("SELECT to_regclass('immich_indexer.photo') IS NULL"):
                await asyncio.sleep(0.2)  # the indexer makes its tables as it starts
            for data in pictures:
                await immich.upload(data, owner=owner)
            each = itertools.islice(queries(), searches)

            async def ask() -> None:
                for query in each:
                    await predict(session, TEXTUAL, text=query)

            await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))
            await idle(pool)
            read = await pool.fetchval("SELECT count(*) FROM immich_indexer.photo WHERE digest IS NOT NULL")
            if read != len(pictures):
                raise RuntimeError(f"{read} of {len(pictures)} pictures were read")
            together, first, second = memory(indexer, gateway), memory(indexer), memory(gateway)
    finally:
        await pool.close()
    kinds = ("peak_mb", "now_mb")
    return {
        **{kind: together[kind] for kind in kinds},
        **{f"indexer_{kind}": first[kind] for kind in kinds},
        **{f"gateway_{kind}": second[kind] for kind in kinds},
        "pictures": len(pictures),
        "searches": searches,
        "ocr_runtime": settings.ocr_runtime,
    }
