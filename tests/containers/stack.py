"""A stack of containers, in a folder as a person has it, and Immich at work in it."""

import asyncio
import contextlib
import itertools
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID

import asyncpg
from aiohttp.test_utils import unused_port

from indexer.demo.immich import StandIn
from tests.containers.engine import CONTAINERS, IMAGE, PREFIX, ROOT, address, compose_program, run, until

DATABASE_PASSWORD = "immichs"
PASSWORD = "ours"
_number = itertools.count()


class Stack:
    """One folder with compose files and an `.env`.

    Args:
        folder: to be made, as `git clone` makes it.
        files: the compose files, none for `compose.yaml` alone.
    """

    def __init__(self, folder: Path, *files: str) -> None:
        self.folder = folder
        self.files = [word for file in files for word in ("--file", file)]
        self.photos = folder / "library"
        for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard").stdout.splitlines():
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        self.photos.mkdir()
        self.gateway_port, self.immich_port = unused_port(), unused_port()
        self.settings = {
            "DB_PASSWORD": DATABASE_PASSWORD,
            "INDEXER_DB_PASSWORD": PASSWORD,
            "UPLOAD_LOCATION": str(self.photos),
            "GHCR": PREFIX,
            "DOCKER_HUB": PREFIX,
            "INDEXER_IMAGE": IMAGE,
            "POSTGRES_IMAGE": f"{PREFIX}/immich-postgres-zhparser",
            "GATEWAY_PUBLISH": f"127.0.0.1:{self.gateway_port}",
            "IMMICH_PUBLISH": f"127.0.0.1:{self.immich_port}",
        }
        self.set()

    def set(self, **settings: str) -> None:
        """Writes settings into the `.env`."""
        self.settings |= settings
        lines = (self.folder / ".env.example").read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.partition("=")[0] not in self.settings]
        written = [f"{name}={value}" for name, value in self.settings.items()]
        (self.folder / ".env").write_text("\n".join([*kept, *written, ""]), encoding="utf-8")

    def command(self, *arguments: str) -> list[str | Path]:
        """`docker compose` on these files."""
        return [compose_program(), *self.files, *arguments]

    def compose(self, *arguments: str, check: bool = True) -> str:
        """What it prints in that folder."""
        return run(*self.command(*arguments), folder=self.folder, check=check).stdout

    def shell(self, line: str, *, check: bool = True) -> str:
        """A line of a README, as a person copies it."""
        line = line.replace("docker compose", str(compose_program()))
        return run("bash", "-o", "pipefail", "-c", line, folder=self.folder, check=check).stdout

    def failing(self, doctor: str) -> list[str]:
        """Of what the doctor finds, the checks that fail; `doctor` is the line of the README that calls him."""
        said = self.shell(doctor.replace(" exec ", " exec --no-TTY "), check=False)
        assert "ok     connection" in said
        return re.findall(r"^fails +([^:]+):", said, flags=re.MULTILINE)

    def containers(self, service: str) -> list[str]:
        """The containers of a service, the ended ones too."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def log(self, service: str) -> str:
        """What a service has said."""
        return self.compose("logs", "--no-log-prefix", service)

    def indexer(self, *arguments: str, check: bool = True) -> str:
        """What our command prints in the indexer's container."""
        return self.compose("exec", "--no-TTY", "indexer", "immich-indexer", *arguments, check=check)

    def down(self) -> None:
        """Takes everything away, the volumes too."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


def of_readme(section: str, start: str) -> list[str]:
    """The commands of that section of the README, from the block that begins with `start`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^### {section}\n(.*?)^### ", text, flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    blocks = re.findall(r"^```sh\n(.*?)^```", found[1], flags=re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(start)]
    return block.splitlines()


@contextlib.asynccontextmanager
async def immich_in(photos: Path) -> AsyncIterator["Immich"]:
    """Immich's own user on the database of this machine's engine, as soon as its tables are there."""
    until("Immich's tables", lambda: run("docker", "exec", *_TABLES, check=False).stdout.strip() == "t")
    dsn = f"postgresql://postgres:{DATABASE_PASSWORD}@{address('immich_postgres')}/immich"
    async with asyncpg.create_pool(dsn, min_size=0, max_size=4) as pool:
        yield Immich(StandIn(pool, photos), pool)


_TABLES = (
    *("immich_postgres", "psql", "--username=postgres", "--dbname=immich", "--tuples-only", "--no-align"),
    "--command=SELECT count(*) > 0 FROM version_history",
)


class Immich:
    """Immich at work: uploads, and what our services made of them, told from Immich's own tables."""

    def __init__(self, stand_in: StandIn, pool: asyncpg.Pool) -> None:
        self.stand_in = stand_in
        self.pool = pool

    async def upload(self, pictures: Sequence[Path], count: int) -> list[UUID]:
        """So many photos, each with bytes of its own, of somebody who has an account."""
        owner = await self.pool.fetchval('SELECT id FROM "user" LIMIT 1') or await self.stand_in.create_user("ann")
        assets = []
        for picture in itertools.islice(itertools.cycle(pictures), count):
            number = next(_number)
            # What follows the end of a JPEG is nobody's business, and makes it another file.
            content = picture.read_bytes() + number.to_bytes(4, "big")
            assets.append(await self.stand_in.upload(content, owner=owner, file_name=f"IMG_{number:04}.jpg"))
        return assets

    async def unread(self, assets: Sequence[UUID]) -> int:
        """How many of them Immich could not find by their meaning, or calls unread."""
        return len(assets) - await self.pool.fetchval(_READ, assets)

    async def all_read(self, assets: Sequence[UUID], seconds: float = 300) -> None:
        """Waits until each is read."""
        async with asyncio.timeout(seconds):
            while left := await self.unread(assets):
                await asyncio.sleep(0.5)
        assert left == 0

    async def texts(self, assets: Sequence[UUID]) -> list[UUID]:
        """The lines of text that Immich has of them; one that was written again is another one."""
        return [row["id"] for row in await self.pool.fetch(_TEXTS, assets)]

    async def all_have_text(self, assets: Sequence[UUID], seconds: float = 300) -> None:
        """Waits until the text of each is read."""
        async with asyncio.timeout(seconds):
            while await self.pool.fetchval(_WITH_TEXT, assets) < len(assets):
                await asyncio.sleep(0.5)

    async def tried(self, assets: Sequence[UUID], seconds: float = 120) -> str:
        """Waits until somebody has tried to read one of them in vain; why it was in vain."""
        async with asyncio.timeout(seconds):
            while not (error := await self.pool.fetchval(_WHY, assets)):
                await asyncio.sleep(0.5)
        return str(error)


_WHY = "SELECT error FROM immich_indexer.job WHERE asset_id = ANY($1) AND error IS NOT NULL LIMIT 1"
_READ = """
SELECT count(*) FROM asset_job_status JOIN smart_search USING ("assetId")
WHERE "assetId" = ANY($1) AND "ocrAt" IS NOT NULL
"""
_TEXTS = 'SELECT id FROM asset_ocr WHERE "assetId" = ANY($1) ORDER BY id'
_WITH_TEXT = 'SELECT count(DISTINCT "assetId") FROM asset_ocr WHERE "assetId" = ANY($1)'


def restart_database() -> None:
    """After it was killed: a person, or the machine, starts it again."""
    run("docker", "start", "immich_postgres")


def nothing_left() -> list[str]:
    """Containers, volumes and networks of our projects that are still there."""
    listed = [
        *run("docker", "ps", "--all", "--format", "{{.Names}}").stdout.split(),
        *run("docker", "volume", "ls", "--format", "{{.Name}}").stdout.split(),
        *run("docker", "network", "ls", "--format", "{{.Name}}").stdout.split(),
    ]
    return [name for name in listed if name in CONTAINERS or name.startswith(("immich_", "immich-"))]
