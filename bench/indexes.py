"""The indexes that Immich's smart search may ask, each with the ways in which it is asked.

VectorChord's, Immich's stock one, is among them where the server has it: with one list, as Immich makes it for up to
128,000 photos, and with the lists of a larger library.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from indexer.database.tuning import WANTED
from indexer.demo.immich import Version

_LISTS = 64  # of a larger library


@dataclass(frozen=True)
class Way:
    """How Immich's question is answered: by which statement of Immich's, under which settings of the session.

    `probes`: how many of VectorChord's lists Immich looks into.
    """

    name: str
    version: Version
    settings: Sequence[str] = ()
    probes: int = 1


@dataclass(frozen=True)
class Index:
    """One, by what follows USING, as Immich makes it."""

    definition: str
    ways: Sequence[Way]

    async def make(self, connection: asyncpg.Connection) -> None:
        """Make it, in the place of another."""
        await connection.execute("DROP INDEX IF EXISTS clip_index")
        await connection.execute(f"CREATE INDEX clip_index ON smart_search USING {self.definition}")


def _advised(kind: str) -> tuple[str, ...]:
    return tuple(f"SET {name} = '{value}'" for name, value in WANTED[kind].items())


def _vectorchord(lists: int, *ways: Way) -> Index:
    return Index(
        f"""vchordrq (embedding vector_cosine_ops) WITH (options = $$
residual_quantization = false
[build.internal]
lists = [{lists}]
spherical_centroids = true
build_threads = 4
sampling_factor = 1024
$$)""",
        ways,
    )


_HNSW = Index(
    "hnsw (embedding vector_cosine_ops) WITH (ef_construction = 300, m = 16)",
    (
        Way("exact", "3.1"),  # which asks no index
        Way("hnsw", "2.7", _advised("hnsw")),
        Way("hnsw_untouched", "2.7", ("SET hnsw.ef_search = 40", "SET hnsw.iterative_scan = off")),
    ),
)
_VECTORCHORD = (
    _vectorchord(
        1,
        Way("vectorchord", "2.7", _advised("vchordrq")),
        Way("vectorchord_untouched", "2.7", ("SET vchordrq.epsilon = 1.9",)),
    ),
    _vectorchord(_LISTS, Way(f"vectorchord_{_LISTS}_lists", "2.7", _advised("vchordrq"), probes=_LISTS // 8)),
)


async def of(connection: asyncpg.Connection) -> tuple[Index, ...]:
    """Those that this server can make; `connection` is a superuser's, or VectorChord's extension is there."""
    if not await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'vchord'"):
        return (_HNSW,)
    await connection.execute("CREATE EXTENSION IF NOT EXISTS vchord")
    return (_HNSW, *_VECTORCHORD)
