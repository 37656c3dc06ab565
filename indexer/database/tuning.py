"""Settings of the database that Immich's own search wants: install makes them where it may, uninstall resets them."""

import json

from indexer.database.pool import Connection
from indexer.database.statements import queries

# For Immich 2.7 to show more than 40 photos of a library.
WANTED = {"hnsw.ef_search": "1000", "hnsw.iterative_scan": "strict_order"}

_SQL = queries("tuning")
_KEY = "database_settings"


async def missing(connection: Connection) -> list[str]:
    """The statements that bring what is wanted; none where somebody has set it, to whatever value."""
    names = WANTED.keys() - (await _stored(connection)).keys()
    database = await _database(connection)
    return [f"ALTER DATABASE {database} SET {name} = '{value}'" for name, value in WANTED.items() if name in names]


async def advice(connection: Connection) -> str | None:
    """What the database's owner should run, and why; None where Immich's search is well without."""
    statements = await missing(connection)
    if not statements or not await connection.fetchval(_SQL["search_uses_hnsw"]):
        return None
    return "Immich shows at most 40 results until the database's owner runs: " + "; ".join(statements)


async def apply(connection: Connection) -> list[str]:
    """Set what nobody has set, if we may. Returns in words what was set."""
    statements = await missing(connection)
    if not statements or not await connection.fetchval(_SQL["may_alter_database"]):
        return []
    # hnsw.* are settings of a library that is loaded on first use; before, only a superuser may set them.
    await connection.fetchval("SELECT '[1]'::vector <-> '[1]'::vector")
    async with connection.transaction():
        before = await _stored(connection)
        for statement in statements:
            await connection.execute(statement)
        ours = {name: value for name, value in WANTED.items() if name not in before}
        await connection.execute(_SQL["remember"], _KEY, json.dumps(await _ours(connection) | ours))
    return ["set on the database: " + ", ".join(f"{name} = {value}" for name, value in ours.items())]


async def take_back(connection: Connection) -> list[str]:
    """Reset what still has the value we gave it. Returns what a person should know."""
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


async def _database(connection: Connection) -> str:
    return str(await connection.fetchval("SELECT quote_ident(current_database())"))


async def _stored(connection: Connection) -> dict[str, str]:
    """Settings stored for this database and every role."""
    return dict(row[0].split("=", 1) for row in await connection.fetch(_SQL["database_settings"]))


async def _ours(connection: Connection) -> dict[str, str]:
    """The settings that an install made, with the values it gave them."""
    remembered = await connection.fetchval(_SQL["remembered"], _KEY)
    return dict(json.loads(remembered)) if remembered else {}
