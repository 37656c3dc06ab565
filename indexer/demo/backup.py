"""Immich's own backup of its database, and its restore, exactly as Immich 3.0.2 and later do it."""

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import asyncpg

from indexer.demo.server import embedded_binaries
from indexer.errors import IndexerError

_CHUNK = 1 << 16

# Immich first terminates all other connections, also our indexer's, and then starts from an empty public schema.
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
        IndexerError: pg_dump failed, or there is none of the server's version. The text says which.
    """
    binaries, _ = await _prepare(url)
    arguments = ["--clean", "--if-exists", f"--file={path}", f"--dbname={url}"]
    await asyncio.to_thread(_run, binaries / "pg_dump", arguments)


async def restore(url: str, path: Path) -> None:
    """Replaces the database by a backup, in one transaction. The role in the address becomes the owner of everything.

    Every other connection is terminated. Immich needs a superuser for this: pgvector is not a trusted extension.

    Raises:
        IndexerError: psql failed, and the database is as it was before.
    """
    binaries, user = await _prepare(url)
    arguments = [
        "--no-psqlrc",
        "--single-transaction",
        "--set=ON_ERROR_STOP=on",
        "--output=/dev/null",
        f"--dbname={url}",
    ]
    await asyncio.to_thread(_replay, binaries / "psql", arguments, _script(user, path))


class OwnerRewriter:
    """Makes `user` the owner of everything in a dump, which comes in chunks. As Immich does, without parsing SQL.

    After each `OWNER TO ` the user's name is written over the name there, byte by byte. If it is longer, its rest is
    inserted before the next `;`. If it is shorter, the end of the old name stays. All this stops at the first
    `FROM stdin`, where data begins.
    """

    def __init__(self, user: str) -> None:
        self._user = user.encode()
        self._rest = b""  # of the user's name, still to be written
        self._owner = _Marker(b"OWNER TO ")
        self._data = _Marker(b"FROM stdin")
        self._over = False

    def feed(self, chunk: bytes) -> bytes:
        """The next chunk, rewritten. It makes no difference where chunks begin and end."""
        written = bytearray()
        for position, byte in enumerate(chunk):
            if self._over:
                return bytes(written) + chunk[position:]
            for new in self._instead_of(byte):
                written.append(new)
                if self._owner.ends_with(new):
                    self._rest = self._user
                self._over = self._data.ends_with(new) or self._over
        return bytes(written)

    def _instead_of(self, byte: int) -> bytes:
        if self._rest and byte == ord(";"):
            rest, self._rest = self._rest, b""
            return rest + b";"
        if self._rest:
            first, self._rest = self._rest[:1], self._rest[1:]
            return first
        return bytes([byte])


class _Marker:
    """Finds a marker in a stream of bytes. A byte that breaks a match is not tried as the first byte of a new one."""

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._matched = 0

    def ends_with(self, byte: int) -> bool:
        """Whether the marker is complete with this byte, the next of the stream."""
        self._matched = self._matched + 1 if self._marker[self._matched] == byte else 0
        if self._matched < len(self._marker):
            return False
        self._matched = 0
        return True


def _script(user: str, path: Path) -> Iterator[bytes]:
    yield _RESET.format(user=user).encode()
    rewriter = OwnerRewriter(user)
    with path.open("rb") as dumped:
        while chunk := dumped.read(_CHUNK):
            yield rewriter.feed(chunk)


async def _prepare(url: str) -> tuple[Path, str]:
    """Client programs of the server's own major version, and the connection's user."""
    connection = await asyncpg.connect(url)
    try:
        major = connection.get_server_version().major
        user: str = await connection.fetchval("SELECT current_user")
    finally:
        await connection.close()
    return await asyncio.to_thread(client_programs, major), user


def client_programs(major: int) -> Path:
    """Client programs of that version. A newer pg_dump writes settings that an older server refuses."""
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


def _run(program: Path, arguments: list[str]) -> str:
    done = subprocess.run([str(program), *arguments], text=True, capture_output=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise IndexerError(f"{program.name} failed: {done.stderr[-2000:]}")
    return done.stdout


def _replay(psql: Path, arguments: list[str], script: Iterable[bytes]) -> None:
    with tempfile.TemporaryFile() as said:  # no pipe: psql would wait for a reader, while we wait for psql
        command = [str(psql), *arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said) as running:  # noqa: S603
            assert running.stdin is not None  # noqa: S101 - requested above
            with contextlib.suppress(BrokenPipeError):  # psql has ended, and has written why
                running.stdin.writelines(script)
                running.stdin.close()
        if running.returncode != 0:
            said.seek(0)
            raise IndexerError(f"{psql.name} failed: {said.read().decode(errors='replace')[-2000:]}")
