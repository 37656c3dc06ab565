"""The base of all parts of the stand-in for Immich: queries and writes, as the present version of Immich does them."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, cast, get_args
from uuid import UUID

import asyncpg

from indexer.database.pool import Connection, Connections
from indexer.demo import media
from indexer.demo.statements import SQL, statements

Version = Literal["2.7", "3.1", "3.2", "3.3"]
#: The oldest first.
VERSIONS: tuple[Version, ...] = get_args(Version)
NEWEST = VERSIONS[-1]

WRITES = statements(SQL / "writes.sql")


class Writer:
    """Immich's database and files.

    Args:
        database: Immich's own connection or pool.
        directory: Immich's upload directory on this machine.
        prefix: The same directory inside Immich's container, as the database has it.
    """

    def __init__(self, database: Connection | Connections, directory: Path, prefix: str = "/data") -> None:
        self.database = database
        self.media = media.MediaRoot(directory, prefix)

    async def install(self, version: Version = NEWEST) -> None:
        """Creates Immich's schema in an empty database."""
        await self._migrate(VERSIONS[: VERSIONS.index(version) + 1])

    async def upgrade(self, version: Version = NEWEST) -> None:
        """Starts a newer Immich on the database, which first changes its schema."""
        await self._migrate(VERSIONS[VERSIONS.index(await self.version()) + 1 : VERSIONS.index(version) + 1])

    async def version(self) -> Version:
        """The present version of Immich."""
        full: str = await self.database.fetchval(
            'SELECT version FROM version_history ORDER BY "createdAt" DESC LIMIT 1'
        )
        return cast(Version, full.removesuffix(".0"))

    async def _is_at_least(self, version: Version) -> bool:
        return VERSIONS.index(await self.version()) >= VERSIONS.index(version)

    async def _migrate(self, versions: Sequence[Version]) -> None:
        async with self._transaction() as connection:
            for version in versions:
                path = SQL / f"schema_{version.replace('.', '_')}.sql"
                await connection.execute(path.read_text(encoding="utf-8"))
            await connection.execute("INSERT INTO version_history (version) VALUES ($1)", f"{versions[-1]}.0")

    async def _write(self, name: str, *arguments: object) -> None:
        await self.database.execute(WRITES[name], *arguments)

    async def _value(self, name: str, *arguments: object) -> Any:
        return await self.database.fetchval(WRITES[name], *arguments)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if isinstance(self.database, asyncpg.Pool):
            async with self.database.acquire() as connection:
                yield connection
        else:
            yield self.database

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with self._connection() as connection, connection.transaction():
            yield connection


def literal(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it. A machine-learning server's answer has the same form."""
    return json.dumps([float(number) for number in vector])


def several(ids: UUID | Sequence[UUID]) -> list[UUID]:
    """One or more, as a list."""
    return [ids] if isinstance(ids, UUID) else list(ids)
