"""Database settings that Immich's own search needs. `install` sets them if it may, and `uninstall` resets them."""

import json
from collections.abc import Mapping

from indexer.database.pool import Connection
from indexer.database.statements import queries

# By the kind of index on Immich's vectors. HNSW: without these Immich's search shows at most 40 photos. VectorChord: by
# default it skips vectors that are probably far away. With 4, the maximum, it is as exact as comparing all vectors.
WANTED = {
    "hnsw": {"hnsw.ef_search": "1000", "hnsw.iterative_scan": "strict_order"},
    "vchordrq": {"vchordrq.epsilon": "4"},
}
_WHY = {
    "hnsw": "Immich shows at most 40 results until the database's owner runs: ",
    "vchordrq": "Immich's search with VectorChord is not exact, nor is `ocr:`, until the database's owner runs: ",
}

_SQL = queries("tuning")
_KEY = "database_settings"


async def missing(connection: Connection, kind: str) -> dict[str, str]:
    """The settings that an index of that kind needs and that nobody has set, with their values."""
    stored = await _stored(connection)
    return {name: value for name, value in WANTED[kind].items() if name not in stored}


async def advice(connection: Connection) -> list[str]:
    """What the database's owner should run, and why. Empty where Immich's search needs nothing."""
    index = await connection.fetchrow(_SQL["index"])
    if index is None:
        return []
    said = []
    if lacking := await missing(connection, index["kind"]):
        said.append(_WHY[index["kind"]] + "; ".join(await _statements(connection, lacking)))
    if index["lists"] > 1:
        said.append(
            f"VectorChord's index has {index['lists']} lists, and Immich looks into an eighth of them: a search misses "
            "photos in the others, `ocr:` about a quarter. No setting helps, but Immich 3 on PostgreSQL 14 to 16 does: "
            "it compares all photos"
        )
    return said


async def apply(connection: Connection) -> list[str]:
    """Set what nobody has set, if we may. For HNSW also without such an index now. Returns in words what was set."""
    index = await connection.fetchrow(_SQL["index"])
    ours = await missing(connection, "hnsw")
    if index is not None and index["kind"] != "hnsw":
        ours |= await missing(connection, index["kind"])
    if not ours or not await connection.fetchval(_SQL["may_alter_database"]):
        return []
    # hnsw.* are settings of a library that is loaded on its first use. Before that only a superuser may set them.
    # VectorChord's library is loaded when the server starts.
    await connection.fetchval("SELECT '[1]'::vector <-> '[1]'::vector")
    async with connection.transaction():
        for statement in await _statements(connection, ours):
            await connection.execute(statement)
        await connection.execute(_SQL["remember"], _KEY, json.dumps(await _ours(connection) | ours))
    return ["set on the database: " + ", ".join(f"{name} = {value}" for name, value in ours.items())]


async def take_back(connection: Connection) -> list[str]:
    """Reset the settings that still have the value we gave them. Returns what a person should know."""
    notes = []
    stored = await _stored(connection)
    for name, value in (await _ours(connection)).items():
        if stored.get(name) == value:
            statement = f"ALTER DATABASE {await _database(connection)} RESET {name}"
            if await connection.fetchval(_SQL["may_alter_database"]):
                await connection.execute(statement)
            else:
                notes.append(f"the database's owner should run: {statement}")
    return notes


async def _statements(connection: Connection, wanted: Mapping[str, str]) -> list[str]:
    database = await _database(connection)
    return [f"ALTER DATABASE {database} SET {name} = '{value}'" for name, value in wanted.items()]


async def _database(connection: Connection) -> str:
    return str(await connection.fetchval("SELECT quote_ident(current_database())"))


async def _stored(connection: Connection) -> dict[str, str]:
    """Settings stored for this database and every role."""
    return dict(row[0].split("=", 1) for row in await connection.fetch(_SQL["database_settings"]))


async def _ours(connection: Connection) -> dict[str, str]:
    """The settings that an install made, with the values it gave them."""
    remembered = await connection.fetchval(_SQL["remembered"], _KEY)
    return dict(json.loads(remembered)) if remembered else {}
