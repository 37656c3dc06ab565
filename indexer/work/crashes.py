"""Finds out whether the indexer of a host was killed. A process that is killed cannot log it.

An indexer puts a marker into the database when it starts, and removes it when it ends. If a starting indexer finds a
marker of its own host, the one before was killed. Linux counts the processes that it kills because memory runs out: if
that number has grown meanwhile, this was most likely the reason.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from indexer import limits
from indexer.database.pool import Connection, Pool, connect, hang_up
from indexer.database.statements import queries
from indexer.database.trouble import TROUBLE

_SQL = queries("crashes")
_PATIENCE = 3.0  # seconds to wait for the database: a marker is not worth a longer wait
_MB = 1 << 20


@dataclass(frozen=True)
class Marker:
    """What an indexer puts into the database when it starts.

    Attributes:
        started: ISO 8601, as all times here.
        pid: the number of its process.
        boot: identifies the machine's last start. None: unknown.
        kills: how many processes Linux had killed by then because memory ran out. None: unknown.
        limit: the container's memory in bytes. None: no limit.
        needed: what the models need, in bytes.
        crashes: how many indexers before it on this host were killed, with less than a day between two.
        last: when the last of these crashes was found.
        by_kernel: whether Linux killed a process because memory ran out, while the indexer before it ran.
    """

    started: str
    pid: int
    boot: str | None
    kills: int | None
    limit: int | None
    needed: int
    crashes: int = 0
    last: str | None = None
    by_kernel: bool = False

    @classmethod
    def read(cls, stored: str | None) -> "Marker | None":
        """The marker as stored. None: there is none, or another version wrote it, with other fields."""
        with contextlib.suppress(TypeError, ValueError):
            return cls(**json.loads(stored)) if stored else None
        return None

    @property
    def is_short(self) -> bool:
        """Whether the container may have less memory than the models need."""
        return self.limit is not None and self.limit < self.needed

    def sentence(self, host: str) -> str | None:
        """What a person should know. None: a single crash without a known reason says nothing."""
        if self.last is None or not (self.by_kernel or self.is_short or self.crashes > 1):
            return None
        when = f"{datetime.fromisoformat(self.last).astimezone():%d %B %H:%M}"
        times = "once" if self.crashes == 1 else f"{self.crashes} times"
        if not (self.by_kernel or self.is_short):
            return f"the indexer on {host} was killed {times}, last before {when}; it seems that memory did not run out"
        if self.limit is None:
            todo = "this machine has too little memory for all that runs on it"
        else:
            todo = f"its container may use {self.limit // _MB} MB, and the models need some {self.needed // _MB} MB"
        return (
            f"the indexer on {host} was killed {times}, last before {when}, because memory ran out: {todo}. Raise the "
            "limit, or set a smaller CLIP_MODEL, such as RN50, or TASKS=ocr"
        )


def after(before: Marker | None, needed: int, *, now: datetime, root: Path = Path("/")) -> Marker:
    """The marker of an indexer that starts now. `before`: the marker that it finds. `root`: with /proc and /sys."""
    kills = limits.memory_kills(root)
    found = Marker(now.isoformat(), os.getpid(), limits.boot(root), kills, limits.read(root).memory, needed)
    if before is None or before.boot != found.boot:  # the whole machine was restarted
        return found
    recent = before.last is not None and now - datetime.fromisoformat(before.last) < timedelta(days=1)
    return replace(
        found,
        crashes=1 + (before.crashes if recent else 0),
        last=found.started,
        by_kernel=(kills or 0) > (before.kills or 0),
    )


@asynccontextmanager
async def marked(dsn: str, needed: int) -> AsyncIterator[None]:
    """Keep a marker in the database while this host's indexer works. Where the database is away, there is no error.

    Args:
        dsn: the database.
        needed: what the models need, in bytes.
    """
    host = socket.gethostname()
    with contextlib.suppress(*TROUBLE):
        async with asyncio.timeout(_PATIENCE), _connected(dsn) as connection:
            if await connection.fetchval(_SQL["is_installed"]):
                await start(connection, host, needed)
    try:
        yield
    finally:
        with contextlib.suppress(*TROUBLE):
            async with asyncio.timeout(_PATIENCE), _connected(dsn) as connection:
                await connection.execute(_SQL["end"], host, os.getpid())


async def start(connection: Connection, host: str, needed: int, *, root: Path = Path("/")) -> None:
    """Write a marker, in place of one that a crash left. A marker whose process still runs stays: one a host."""
    before = Marker.read(await connection.fetchval(_SQL["marker"], host))
    if before is not None and before.pid != os.getpid() and (root / "proc" / str(before.pid)).exists():
        return
    marker = after(before, needed, now=datetime.now(UTC), root=root)
    await connection.execute(_SQL["start"], host, json.dumps(asdict(marker)))


async def look(connection: Connection | Pool) -> list[str]:
    """A sentence for each host whose indexer was killed recently. It says what to do."""
    rows = await connection.fetch(_SQL["crashed"])
    markers = [(row["host"], Marker.read(row["value"])) for row in rows]
    return [sentence for host, marker in markers if marker and (sentence := marker.sentence(host))]


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Connection]:
    connection = await connect(dsn, timeout=_PATIENCE)
    try:
        yield connection
    finally:
        await hang_up(connection)
