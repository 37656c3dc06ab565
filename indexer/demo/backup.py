"""Immich's own backup of its database, and its restore."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import asyncpg

from indexer.demo.server import embedded_binaries
from indexer.errors import IndexerError

# Immich terminates everybody else first, our indexer included, and starts from an empty public schema.
_RESET = """\
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
GRANT ALL ON SCHEMA public TO "{user}";
GRANT ALL ON SCHEMA public TO public;
"""


async def dump(url: str, path: Path) -> None:
    """Writes the whole database into a file, as the role in the address.

    Raises:
        IndexerError: pg_dump failed, or there is none of the server's version; the text says which.
    """
    binaries, _ = await _prepare(url)
    arguments = ["--clean", "--if-exists", f"--file={path}", f"--dbname={url}"]
    await asyncio.to_thread(_run, binaries / "pg_dump", arguments)


async def restore(url: str, path: Path) -> None:
    """Replaces what is in the database by a backup, in one transaction, all of it owned by the role in the address.

    Every other connection is terminated. Immich needs a superuser for this: pgvector is not a trusted extension.

    Raises:
        IndexerError: psql failed, and the database is as it was before.
    """
    binaries, user = await _prepare(url)
    with path.open(encoding="utf-8") as dumped:
        script = _RESET.format(user=user) + "".join(_owned_by(user, dumped))
    arguments = [
        "--no-psqlrc",
        "--single-transaction",
        "--set=ON_ERROR_STOP=on",
        "--output=/dev/null",
        f"--dbname={url}",
    ]
    await asyncio.to_thread(_run, binaries / "psql", arguments, script)


def _owned_by(user: str, lines: Iterable[str]) -> Iterator[str]:
    """Rewrites the owners of everything declared before the first table's data, which is everything that has one."""
    declaring = True
    for line in lines:
        declaring = declaring and not line.endswith("FROM stdin;\n")
        yield re.sub(r"OWNER TO [^;]+;", f'OWNER TO "{user}";', line) if declaring else line


async def _prepare(url: str) -> tuple[Path, str]:
    """Client programs of the server's own major version, and who we are."""
    connection = await asyncpg.connect(url)
    try:
        major = connection.get_server_version().major
        user: str = await connection.fetchval("SELECT current_user")
    finally:
        await connection.close()
    return await asyncio.to_thread(client_programs, major), user


def client_programs(major: int) -> Path:
    """A newer pg_dump writes settings that an older server refuses, so only the same version will do."""
    on_path = shutil.which("pg_dump")
    places = [
        Path(f"/usr/lib/postgresql/{major}/bin"),
        embedded_binaries(),
        *([Path(on_path).parent] if on_path else []),
    ]
    for place in places:
        if (place / "pg_dump").exists() and f" {major}." in _run(place / "pg_dump", ["--version"]):
            return place
    raise IndexerError(f"pg_dump and psql of PostgreSQL {major} are needed: apt install postgresql-client-{major}")


def _run(program: Path, arguments: list[str], script: str | None = None) -> str:
    command = [str(program), *arguments]
    done = subprocess.run(command, input=script, text=True, capture_output=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise IndexerError(f"{program.name} failed: {done.stderr[-2000:]}")
    return done.stdout
