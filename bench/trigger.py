"""What our triggers cost Immich while it writes a photo's rows.

Rounds with our triggers, without, and without once more take turns on one database; the last two should not differ,
and how far they do says what this machine can tell apart. Between rounds, outside the clock, triggers are dropped and
created: one that is merely disabled still makes PostgreSQL collect the changed rows, and in a second database the
vector index soon has another shape, which matters more than any trigger. Each round starts with photos that are not
counted, because the change made PostgreSQL forget its plans, and it keeps one only after five uses. One client listens,
as in real life: in a process of its own, as whoever writes does not take in the notifications.
"""

import argparse
import asyncio
import multiprocessing
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import permutations
from math import comb
from multiprocessing.synchronize import Event
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from bench.uploads import LINES, Library, Photo, photos_of, upload_at_once, upload_one_by_one
from indexer.database import schema
from indexer.database.pool import OwnConnection
from indexer.demo.immich import StandIn
from indexer.demo.server import EmbeddedServer, on_server
from indexer.demo.statements import SQL, statements

NAME = "trigger"
DESCRIPTION = "overhead of the triggers on Immich's own writes, as a ratio minus 1"

# Durability stays PostgreSQL's default. What works in the background at moments of its own choosing waits until later.
_SETTINGS = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "8GB"}
_ASKED = statements(Path(__file__).with_suffix(".sql"))
_PEOPLE = statements(SQL / "people.sql")
_ALBUMS = statements(SQL / "albums.sql")
_OURS = """
    SELECT quote_ident(tgname) AS name, tgrelid::regclass::text AS on_table, pg_get_triggerdef(oid) AS definition
    FROM pg_trigger WHERE starts_with(tgname, 'immich_indexer')"""


@dataclass(frozen=True)
class _Size:
    """How much is measured."""

    pairs: int
    singles: int  # uploads a round, a statement a transaction
    bulk: int  # uploads a round, one transaction
    library: int  # photos there are before the first round


_UNCOUNTED = 6  # photos at the start of a round
# Many short rounds: what else the machine does then meets all of them alike.
_FULL = _Size(pairs=101, singles=3, bulk=25, library=2000)
_QUICK = _Size(pairs=31, singles=2, bulk=20, library=200)


@dataclass(frozen=True)
class _Library(Library):
    """With photos that Immich's other writes are about."""

    assets: list[UUID]  # those there are before the first round
    person: UUID
    album: UUID
    token: bytes  # SHA-256 of that of the user's session

    @property
    def immich(self) -> StandIn:
        """Immich at work on it."""
        return StandIn(self.connection, Path())

    def some(self, count: int) -> list[UUID]:
        """So many photos, by chance."""
        return random.sample(self.assets, count)

    async def ask(self, query: str, *arguments: object) -> None:
        """One of the questions of `trigger.sql`."""
        await self.connection.fetch(_ASKED[query], *arguments)


_Round = Callable[[_Library, Sequence[Photo]], Awaitable[None]]


def run(options: argparse.Namespace) -> dict[str, object]:
    """Measures on ``options.url``, or on a server of its own; ``options.quick`` measures less.

    Returns:
        ``overhead``, the larger of ``overhead_single`` and ``overhead_bulk``: medians of ratios minus 1, each with an
        interval that holds the true median with at least 95 % confidence; ``control_*`` is the same without triggers.
        ``overhead_refresh``, ``_tag``, ``_album`` and ``_person``: of a metadata refresh, a tag on a photo, a photo in
        an album, and a new name of a person who is on a tenth of all photos; each with what Immich asks before.
        ``overhead_archive``: of one statement that archives 300 photos.
    """
    size = _QUICK if options.quick else _FULL
    with EmbeddedServer(settings=_SETTINGS) if options.url is None else nullcontext() as server:
        url = options.url if server is None else server.url()
        return asyncio.run(_measure(url, size))


async def _measure(url: str, size: _Size) -> dict[str, object]:
    name = f"immich_bench_{uuid4().hex}"
    admin = await asyncpg.connect(url)
    await admin.execute(f"CREATE DATABASE {name}")
    connection = await asyncpg.connect(on_server(url, name))
    try:
        library = await _fill(connection, size.library)
        await schema.install(connection)
        switch = await _switch(connection)
        with _listening(on_server(url, name)):
            single = await _compare(upload_one_by_one, library, switch, size.pairs, size.singles)
            bulk = await _compare(upload_at_once, library, switch, size.pairs, size.bulk)
            edits = {
                name: await _compare(edit, library, switch, size.pairs, times * size.singles)
                for name, (edit, times) in _EDITS.items()
            }
        durable = await admin.fetchval(
            "SELECT current_setting('fsync') || '/' || current_setting('synchronous_commit')"
        )
        version = await admin.fetchval("SHOW server_version")
    finally:
        await connection.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
    return {
        "overhead": max(single["overhead"], bulk["overhead"]),
        **{f"{key}_single": value for key, value in single.items()},
        **{f"{key}_bulk": value for key, value in bulk.items()},
        **{f"{key}_{name}": value for name, figures in edits.items() for key, value in figures.items()},
        "pairs": size.pairs,
        "lines_per_photo": len(LINES),
        "library": size.library,
        "postgresql": version,
        "fsync/synchronous_commit": durable,
    }


@contextmanager
def _listening(url: str) -> Iterator[None]:
    processes = multiprocessing.get_context("spawn")
    ready = processes.Event()
    listener = processes.Process(target=_listen, args=(url, ready), daemon=True)
    listener.start()
    try:
        ready.wait()
        yield
    finally:
        listener.kill()
        listener.join()


def _listen(url: str, ready: Event) -> None:
    async def listen() -> None:
        connection = await asyncpg.connect(url)
        await connection.add_listener("immich_indexer", lambda *_: None)
        ready.set()
        await asyncio.Event().wait()

    asyncio.run(listen())


async def _fill(connection: OwnConnection, photos: int) -> _Library:
    """Makes a library that is not empty: indexes with something in them are slower to write to."""
    immich = StandIn(connection, Path())
    await immich.install()
    owner = await immich.create_user("bench")
    album = await immich.create_album(owner, "album")
    token = sha256((await immich.log_in(owner)).encode()).digest()
    library = _Library(connection, owner, [], uuid4(), album, token)
    for start in range(0, photos, 500):
        batch = photos_of(min(500, photos - start))
        await upload_at_once(library, batch)
        library.assets.extend(photo.asset for photo in batch)
    person = None
    for asset in library.assets[::10]:
        person = await immich.recognise(asset, person)
    assert person is not None
    library = replace(library, person=person)
    await connection.execute("VACUUM ANALYZE")
    return library


async def _switch(connection: OwnConnection) -> Callable[[bool], Awaitable[None]]:
    """How to have our triggers or not; either way the same tables are changed."""
    rows = await connection.fetch(_OURS)
    drop = "".join(f"DROP TRIGGER IF EXISTS {row['name']} ON {row['on_table']};" for row in rows)
    create = "".join(f"{row['definition']};" for row in rows)

    async def switch(on: bool) -> None:
        await connection.execute(drop + create + ("" if on else drop))

    return switch


async def _compare(
    upload: _Round, library: _Library, switch: Callable[[bool], Awaitable[None]], pairs: int, photos: int
) -> dict[str, float]:
    """Times rounds of the same size with triggers and without, in an order that changes from round to round."""
    seconds: dict[str, list[float]] = {"with": [], "without": [], "control": []}
    orders = list(permutations(seconds))
    for number in range(pairs):
        for arm in orders[number % len(orders)]:
            await switch(arm == "with")
            await upload(library, photos_of(_UNCOUNTED))
            batch = photos_of(photos)
            started = time.perf_counter()
            await upload(library, batch)
            seconds[arm].append(time.perf_counter() - started)
            # Not TRUNCATE: the triggers' own statements would have to be planned again.
            await library.connection.execute("DELETE FROM immich_indexer.inbox; DELETE FROM immich_indexer_2.change")
    ratios = [ours / theirs - 1 for ours, theirs in zip(seconds["with"], seconds["without"], strict=True)]
    control = [other / theirs - 1 for other, theirs in zip(seconds["control"], seconds["without"], strict=True)]
    low, high = _interval(ratios)
    return {
        "overhead": statistics.median(ratios),
        "overhead_low": low,
        "overhead_high": high,
        "control": statistics.median(control),
        "photo_ms": statistics.median(seconds["without"]) / photos * 1000,
        "photo_ms_with_triggers": statistics.median(seconds["with"]) / photos * 1000,
    }


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with at least 95 % confidence."""
    ordered, count, outside, rank = sorted(values), len(values), 0.0, 0
    while outside + (tail := 2 * comb(count, rank) / 2**count) <= 0.05:
        outside += tail
        rank += 1
    return ordered[max(rank - 1, 0)], ordered[min(count - rank, count - 1)]


async def _refresh(library: _Library, photos: Sequence[Photo]) -> None:
    for asset in library.some(len(photos)):
        await library.immich.refresh_metadata(asset)


async def _tag(library: _Library, photos: Sequence[Photo]) -> None:
    for asset in library.some(len(photos)):
        await library.ask("session", library.token)
        await library.ask("own_photo", library.owner, [asset])
        await library.immich.tag(asset, "tag")


async def _add_to_album(library: _Library, photos: Sequence[Photo]) -> None:
    for asset in library.some(len(photos)):
        await library.ask("session", library.token)
        await library.ask("own_album", library.owner, [library.album])
        await library.ask("in_album", library.album, [asset])
        await library.ask("own_photo", library.owner, [asset])
        await library.connection.execute(_ALBUMS["add"], library.album, [asset])
        await library.connection.execute(_ALBUMS["touch"], library.album, asset)


async def _rename(library: _Library, photos: Sequence[Photo]) -> None:
    for number, _ in enumerate(photos):
        await library.ask("session", library.token)
        await library.ask("own_person", library.owner, [library.person])
        await library.connection.fetch(_PEOPLE["name_person_3_2"], library.owner, library.person, f"{number}")


async def _archive(library: _Library, photos: Sequence[Photo]) -> None:
    """Or back: a person selects many."""
    await library.connection.execute(_ASKED["archive"], library.some(10 * len(photos)))


# With how many there are in a round for each upload in one. A round of few short statements would say little.
_EDITS: dict[str, tuple[_Round, int]] = {
    "refresh": (_refresh, 15),
    "tag": (_tag, 10),
    "album": (_add_to_album, 25),
    "person": (_rename, 40),
    "archive": (_archive, 10),
}
