"""What a change of the model costs: how long its transaction takes, and for how long others are held up at its end.

Photos with vectors of two models in a column of 1024 dimensions under Immich's HNSW index. Once as Immich's own login
and, on a server of ours, once as the role `ii`: both drop the index before and make it again afterwards. And once under
the index. Each there and back.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4, uuid5

import numpy as np

from bench import library
from bench.lexical import clip_vectors
from bench.queue import on_database
from bench.width import INDEX, NOW, SETTINGS
from indexer.database.pool import OwnConnection
from indexer.demo.immich import StandIn
from indexer.demo.server import on_server
from indexer.photos.vectors import Vector, as_column, fingerprint
from indexer.work import role, turn

NAME = "turn"
DESCRIPTION = "a change of the model: its transaction, and how long others wait"

_WIDTH = 1024
_CHUNK = 1000
_NEVER = 1 << 31
_PASSWORD = "bench"


def run(options: argparse.Namespace) -> dict[str, object]:
    """Returns for each way `there_s` and `back_s`, and of these `held_s`: writers and answers wait for so long."""
    size = options.assets or (500 if options.quick else 5000)
    given = options.url or os.environ.get("TEST_DATABASE_URL") or None
    with on_database(given, SETTINGS) as url:
        return {"photos": size} | asyncio.run(_measure(url, size, with_role=given is None))


async def _measure(url: str, size: int, *, with_role: bool) -> dict[str, object]:
    connection = await library.prepare(url)
    try:
        await _fill(connection, size)
    finally:
        await connection.close()
    figures: dict[str, object] = {}
    ways = [("immichs_login", url, 1), ("under_index", url, _NEVER)]
    if with_role:
        await role.make(url, _PASSWORD, say=print, patience=10)
        ways.insert(1, ("role_ii", on_server(url, urlsplit(url).path[1:], f"ii:{_PASSWORD}"), 1))
    for way, login, many in ways:
        seconds: dict[str, float] = {}
        for name, which in (("there", "new"), ("back", "old")):
            began = time.perf_counter()
            done = await turn.turn(login, which, grace=0, many=many)
            seconds[f"{name}_s"] = round(time.perf_counter() - began, 2)
            seconds[f"{name}_held_s"] = round(done.seconds, 2) if done else -1
        figures[way] = seconds
    return figures


async def _fill(connection: OwnConnection, size: int) -> None:
    owner = await library.add_person(connection, uuid4())
    await StandIn(connection, Path()).change_clip_model(_WIDTH)
    await connection.execute("DROP INDEX clip_index")
    await connection.execute(
        "INSERT INTO immich_indexer_3.model (name, setting, dimensions, state)"
        " VALUES ('old', 'old', 512, 'current'), ('new', 'new', 512, 'next')"
    )
    for start in range(0, size, _CHUNK):
        ids = [uuid5(owner, str(number)) for number in range(start, min(start + _CHUNK, size))]
        chunk = [library.Photo(asset, owner, NOW, f"编号 {number}") for number, asset in enumerate(ids, start)]
        await library.write(connection, library.rows(chunk))
        old, new = clip_vectors(len(ids), seed=start), clip_vectors(len(ids), seed=start + 1)
        columns = [as_column(vector, _WIDTH, photo.text) for vector, photo in zip(old, chunk, strict=True)]
        await library.write_vectors(connection, ids, np.stack(columns))
        await connection.execute(
            "UPDATE immich_indexer.photo p SET clip_model = 'old', clip = n.clip::halfvec, vector_hash = n.hash"
            " FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS n (id, clip, hash) WHERE p.asset_id = n.id",
            ids,
            _texts(old),
            [fingerprint(column) for column in columns],
        )
        await connection.execute(
            "INSERT INTO immich_indexer_3.vector (model, asset_id, digest, embedding)"
            " SELECT 'new', id, uuid_send(id), clip::halfvec FROM unnest($1::uuid[], $2::text[]) AS n (id, clip)",
            ids,
            _texts(new),
        )
    await connection.execute("SET maintenance_work_mem = '1GB'")
    await connection.execute(INDEX)
    await connection.execute("VACUUM ANALYZE smart_search")


def _texts(vectors: Vector) -> list[str]:
    return ["[" + ",".join(f"{number:.6g}" for number in vector) + "]" for vector in vectors]
