"""A machine that breaks under the real command: no photo but real poison is given up, and all is read in the end.

The poison: a file that is no picture, a picture that the model cannot take, and one that ends the model's process.
"""

import asyncio
import io
import resource
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
from PIL import Image

from indexer.demo.immich import StandIn
from indexer.demo.server import EmbeddedServer, on_server
from indexer.models.engines.states import PROVEN
from tests.support import stubs
from tests.support.commands import Indexer, indexing, move_clock
from tests.support.stub_hosted import Fault, Faulty
from tests.support.workers import eventually, failures, is_indexed

PHOTOS, BAD, POISON, DEADLY = 24, 7, 12, 17
HEADROOM = {"the indexer": 12 << 20, "its models": 6 << 20}  # bytes: for small pictures, and for threads
LARGE = {
    "the indexer": (3000, 2000),
    "its models": (5000, 4000),
}  # 18, 60 MB: more than it has freed and kept
LIMIT = 60  # seconds in which all has healed, on a machine that has much else to do

SICK, WELL = "an engine is sick and will be replaced", "an engine works again"
CANNOT = "cannot read a photo for now"
LITTLE = "an engine is short of memory: batches get smaller"

pytestmark = pytest.mark.timeout(300)


class Library:
    """Photos in that Immich, and what becomes of them."""

    def __init__(self, immich: StandIn, connection: asyncpg.Connection | asyncpg.Pool, owner: UUID) -> None:
        self._immich = immich
        self.connection = connection
        self._owner = owner
        self._files: dict[UUID, bytes] = {}
        self._poison: dict[UUID, str] = {}

    async def upload(self, first: int = 0, *, poison: bool = True, large: tuple[int, int] | None = None) -> None:
        """Two dozen photos, the poison among them or nothing in its place; every sixth is so `large`."""
        for number in range(first, first + PHOTOS):
            kind = {BAD: "not a readable picture", POISON: "cannot take", DEADLY: "SIGSEGV"}.get(number - first, "")
            if kind and not poison:
                continue
            file = b"no picture" if number - first == BAD else stubs.picture(number)
            if large and not kind and number % 6 == 0:
                file = large_picture(number, large)
            asset = await self._immich.upload(file, owner=self._owner)
            self._files[asset] = file
            if kind:
                self._poison[asset] = kind

    @property
    def innocent(self) -> list[UUID]:
        return [asset for asset in self._files if asset not in self._poison]

    async def counts(self) -> int:
        """How many innocent photos have an attempt that counts."""
        return await self.connection.fetchval(
            "SELECT count(*) FROM immich_indexer.job WHERE asset_id = ANY ($1::uuid[])"
            " AND (dead OR attempts > (worker IS NOT NULL)::int)",
            self.innocent,
        )

    async def is_read(self) -> bool:
        """Whether every photo but the poison is read, rightly, and nothing is left to be done."""
        if await self.connection.fetchval(
            "SELECT EXISTS (SELECT FROM immich_indexer.inbox) OR EXISTS (SELECT FROM immich_indexer.job WHERE NOT dead)"
        ):
            return False
        return all([await is_indexed(self.connection, asset, self._files[asset]) for asset in self.innocent])

    async def heals(self) -> None:
        """Until all is as it is to be; no innocent photo has an attempt that counts at any time."""

        async def healed() -> bool:
            assert await self.counts() == 0
            return await self.is_read()

        await eventually(healed, LIMIT)
        found = await failures(self.connection)
        assert set(found) == set(self._poison)
        for asset, kind in self._poison.items():
            assert found[asset].dead
            assert kind in found[asset].error
            assert found[asset].error.endswith(PROVEN) or kind.startswith("not a")


def large_picture(number: int, size: tuple[int, int]) -> bytes:
    """One of that size, unlike that of any other number."""
    image = Image.new("RGB", size)
    image.putpixel((0, 0), (number, 1, 2))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def open_files(pid: int) -> int:
    """One more than the highest number of a file that it has open."""
    return max(int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()) + 1


def memory(pid: int) -> int:
    """Bytes that it may address by now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


@pytest.fixture
def library(immich, connection, owner) -> Library:
    return Library(immich, connection, owner)


def faulty(kind, fault: Fault = "", broken: Path = Path("/nowhere"), *, first: int = 0) -> Faulty:
    """A stub model that the poison is poison to, of those photos."""
    return Faulty(
        kind, fault, str(broken), (stubs.expected_text(first + POISON),), (stubs.expected_text(first + DEADLY),)
    )


def said_once(indexer: Indexer, *reasons: str) -> None:
    """Every line is JSON, none is said again within the pause that it tells of, and engines end for those `reasons`."""
    engines: dict[str, list[dict]] = {}
    for line in indexer.said:
        if line["event"] in (SICK, WELL):
            engines.setdefault(line["engine"], []).append(line)
    for lines in engines.values():
        pauses = [line.get("seconds", 0) for line in lines]  # 0: it is well again
        assert all(before == 0 or after == 0 or after >= before for before, after in pairwise(pauses)), pauses
    traces = Counter((line["part"], line["exception"].splitlines()[-1]) for line in indexer.events(CANNOT))
    assert all(count == 1 for count in traces.values()), traces
    waits = [line["seconds"] for line in indexer.said if line["event"].startswith("waiting for")]
    assert all(seconds >= 10 for seconds in waits)
    assert not [line for line in indexer.said if line["event"] == "output of a model's process"]
    ended = {line["reason"] for line in indexer.events(SICK)}
    assert all(any(known in reason for known in ("SIGSEGV", *reasons)) for reason in ended), ended


async def installed(connection: asyncpg.Connection | asyncpg.Pool) -> None:
    ready = "SELECT to_regclass('immich_indexer.worker') IS NOT NULL"
    await eventually(lambda: connection.fetchval(ready), LIMIT)
    await eventually(lambda: connection.fetchval("SELECT count(*) FROM immich_indexer.worker"), LIMIT)


@pytest.fixture
async def at_work(database, immich, connection, library):
    """Starts the command, with poison in the library to be uploaded."""

    @asynccontextmanager
    async def at_work(*reasons: str, **options) -> AsyncIterator[Indexer]:
        models = {"clip": faulty("clip"), "ocr": Faulty("ocr")}
        async with indexing(database, immich.media.directory, **models | options) as indexer:
            await installed(connection)
            yield indexer
        said_once(indexer, *reasons)

    return at_work


async def test_with_64_open_files(at_work, library):
    async with at_work(limits={resource.RLIMIT_NOFILE: 64}):
        await library.upload()
        await library.heals()


async def test_with_no_further_open_file(at_work, library):
    async with at_work("Too many open files") as indexer:
        with indexer.limited(resource.RLIMIT_NOFILE, {pid: open_files(pid) for pid in indexer.tree}):
            await library.upload()
            await says(indexer, [CANNOT, SICK], "Too many open files")
        await library.heals()


@pytest.mark.parametrize("whose", ["the indexer", "its models"])
async def test_without_memory_for_large_pictures(at_work, library, whose):
    """They wait until there is room; nothing hangs, and no process ends."""
    async with at_work("emory", "status 1", "start new thread") as indexer:
        pids = indexer.tree[:1] if whose == "the indexer" else indexer.tree[1:]
        with indexer.limited(resource.RLIMIT_AS, {pid: memory(pid) + HEADROOM[whose] for pid in pids}):
            await library.upload(large=LARGE[whose])
            await says(indexer, (CANNOT, LITTLE), "emory")
        await library.heals()


async def test_with_full_disks(at_work, library):
    """No process of ours may write a byte into any file, be it below /tmp."""
    async with at_work(limits={resource.RLIMIT_FSIZE: 0}):
        await library.upload()
        await library.heals()


async def test_with_a_clock_that_is_set(at_work, library, tmp_path):
    """An hour on, two back, and one on again."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("needs a C compiler, for what moves the clock of a process")
    library_file, clock = tmp_path / "clock.so", tmp_path / "moved"
    source = Path(__file__).parents[1] / "support" / "clock.c"
    built = await asyncio.create_subprocess_exec(compiler, "-shared", "-fPIC", "-O1", "-o", library_file, source)
    assert await built.wait() == 0
    move_clock(clock, 0)
    async with at_work(LD_PRELOAD=str(library_file), MOVED_CLOCK=str(clock)) as indexer:
        for number, seconds in enumerate([3600, -3600, 0]):
            move_clock(clock, seconds)
            await library.upload(100 * number, poison=not number)
            await library.heals()
    hours = {datetime.fromisoformat(line["timestamp"]).timestamp() // 1800 for line in indexer.said}
    assert len(hours) >= 2, "the clock was set"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The fault of an engine, for as long as it is there."""
    path = tmp_path / "broken"
    path.touch()
    return path


async def says(indexer: Indexer, events: Sequence[str], reason: str = "") -> None:
    """Until its log has one of those events, for that reason."""

    async def said() -> bool:
        return any(reason in str(line) for event in events for line in indexer.events(event))

    await eventually(said, LIMIT)


async def are_sick(indexer: Indexer, *engines: str) -> None:
    for engine in engines:
        await says(indexer, [SICK], engine)


BOTH = ("the CLIP model", "the OCR engine")


async def test_two_sick_engines(at_work, library, broken):
    models = {"clip": faulty("clip", "from the n-th on", broken), "ocr": Faulty("ocr", "rubbish", str(broken))}
    async with at_work("illegal memory access", "it reads", **models) as indexer:
        await library.upload()
        await are_sick(indexer, *BOTH)
        broken.unlink()
        await library.heals()


@pytest.mark.soak
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(("kind", "fault"), [("clip", "rubbish"), ("ocr", "rubbish")])
async def test_rubbish_that_no_probe_finds_before_the_indexer_ends(
    database, immich, connection, library, broken, kind, fault, end
):
    """The next indexer reads it again; told to stop, an indexer finds it itself."""
    media = immich.media.directory
    models = {"clip": Faulty("clip"), "ocr": Faulty("ocr")}
    sick = models | {kind: Faulty(kind, fault, str(broken))}
    async with indexing(database, media, **sick, end=end, STUB_PROBE="3600"):
        await installed(connection)
        await library.upload(poison=False)
        written = "SELECT count(*) FROM immich_indexer.photo WHERE clip IS NOT NULL AND ocr_model IS NOT NULL"
        await eventually(lambda: connection.fetchval(f"{written} HAVING count(*) = $1", len(library.innocent)), LIMIT)
        assert not await library.is_read(), "it is rubbish"
    assert await connection.fetchval("SELECT count(*) FROM immich_indexer.worker") == (end == signal.SIGKILL)
    broken.unlink()
    async with indexing(database, media, **models, STUB_PROBE="3600"):
        await library.heals()


@pytest.fixture
async def own_library(own_immich, private_server) -> AsyncIterator[Library]:
    """The same on a server that may be restarted."""
    url, immich = own_immich
    name = urlsplit(url).path[1:]
    async with asyncpg.create_pool(
        on_server(private_server.url(), name),
        min_size=0,
        max_size=2,
        server_settings={"default_transaction_read_only": "off"},
    ) as pool:
        yield Library(immich, pool, await immich.create_user("ann"))


@asynccontextmanager
async def read_only(server: EmbeddedServer) -> AsyncIterator[None]:
    """As after a fail-over."""
    connection = await asyncpg.connect(server.url(), server_settings={"default_transaction_read_only": "off"})
    try:
        for value in ("on", "off"):
            await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            await connection.execute("SELECT pg_reload_conf()")
            if value == "on":
                yield
    finally:
        await connection.close()


@asynccontextmanager
async def restarted(server: EmbeddedServer) -> AsyncIterator[None]:
    await asyncio.to_thread(server.stop, "immediate")
    yield
    await asyncio.to_thread(server.start)


@pytest.mark.soak
@pytest.mark.parametrize("database_fault", [read_only, restarted])
@pytest.mark.parametrize("engine_fault", ["from the n-th on", "hangs", "rubbish"])
@pytest.mark.parametrize("kind", ["clip", "ocr"])
async def test_a_sick_engine_and_a_database_that_is_away(
    own_immich, private_server, own_library, broken, kind, engine_fault, database_fault
):
    """Both at the same time, and the database comes back first."""
    url, immich = own_immich
    models = {"clip": faulty("clip"), "ocr": Faulty("ocr")}
    models[kind] = faulty(kind, engine_fault, broken)
    if kind == "ocr":
        models["clip"] = Faulty("clip")
    async with indexing(url, immich.media.directory, **models) as indexer:
        await installed(own_library.connection)
        await own_library.upload()
        await are_sick(indexer, BOTH[kind == "ocr"])
        async with database_fault(private_server):
            await says(indexer, ["waiting for the database"])
        broken.unlink()
        await own_library.heals()
    said_once(indexer, "illegal memory access", "no answer within", "it reads", "its vector of a known input is wrong")
