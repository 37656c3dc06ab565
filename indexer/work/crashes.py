"""Whether the indexer of a host was killed, which it cannot say itself.

Each puts a marker into the database when it starts, and removes it when it ends in any other way. Who finds a marker of
its own host starts after a crash. It was for want of memory, most likely, if the kernel has ended a process for that
meanwhile: the machine counts those.
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
_PATIENCE = 3.0  # seconds for the database: a marker is not worth more
_MB = 1 << 20


@dataclass(frozen=True)
class Marker:
    """What an indexer puts into the database when it starts.

    Attributes:
        started: ISO 8601, as all times here.
        pid: of its process.
        boot: which start of the machine it was; None: unknown.
        kills: how many processes of this machine the kernel had ended for want of memory by then; None: unknown.
        limit: the container's memory in bytes; None: no limit.
        needed: what the models need, in bytes.
        crashes: how many before it on this host were killed, with less than a day between two.
        last: when the last of these crashes was found.
        by_kernel: whether the kernel ended a process for want of memory while that one ran.
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
        """As stored; None where there is none, or one of a version that knew other things."""
        with contextlib.suppress(TypeError, ValueError):
            return cls(**json.loads(stored)) if stored else None
        return None

    @property
    def is_short(self) -> bool:
        """Whether the container may have less memory than the models need."""
        return self.limit is not None and self.limit < self.needed

    def sentence(self, host: str) -> str | None:
        """For a person; None where there is nothing to learn from a single crash."""
        if self.last is None or not (self.by_kernel or self.is_short or self.crashes > 1):
            return None
        when = f"{datetime.fromisoformat(self.last).astimezone():%d %B %H:%M}"
        times = "once" if self.crashes == 1 else f"{self.crashes} times"
        if not (self.by_kernel or self.is_short):
            return f"the indexer on {host} was killed {times}, last before {when}; not for want of memory, it seems"
        if self.limit is None:
            todo = "this machine has too little memory for all that runs on it"
        else:
            todo = f"its container may use {self.limit // _MB} MB, and the models need some {self.needed // _MB} MB"
        return (
            f"the indexer on {host} was killed {times}, last before {when}, for want of memory: {todo}. Raise the "
            "limit, or set a smaller CLIP_MODEL, such as RN50, or TASKS=ocr"
        )


def after(before: Marker | None, needed: int, *, now: datetime, root: Path = Path("/")) -> Marker:
    """The marker of who starts now; `before` is the one it finds, `root` is where /proc and /sys are."""
    kills = limits.memory_kills(root)
    found = Marker(now.isoformat(), os.getpid(), limits.boot(root), kills, limits.read(root).memory, needed)
    if before is None or before.boot != found.boot:  # the machine itself stopped, and that is no riddle
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
    """Around the work of this host's indexer. Without a database there is no marker, and no error.

    Args:
        dsn: where it is.
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
    """Put a marker there, in place of one that a crash left. Where its process still runs, it stays: one a host."""
    before = Marker.read(await connection.fetchval(_SQL["marker"], host))
    if before is not None and before.pid != os.getpid() and (root / "proc" / str(before.pid)).exists():
        return
    marker = after(before, needed, now=datetime.now(UTC), root=root)
    await connection.execute(_SQL["start"], host, json.dumps(asdict(marker)))


async def look(connection: Connection | Pool) -> list[str]:
    """A sentence for each host whose indexer was killed of late, with what to do."""
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
