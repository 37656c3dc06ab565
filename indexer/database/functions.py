"""Our functions in Immich's database: how they are created, and replaced where they are of another version.

No table is locked for it. Each function is in a file of its own in sql/functions.
"""

import hashlib

from indexer.database.pool import Connection
from indexer.database.statements import queries, sql, sql_files
from indexer.errors import SchemaError

#: Triggers that run with the rights of whoever writes Immich's tables call these.
FOR_EVERYONE = {"note_change", "note_photo"}

SQL = queries("functions")


async def install(connection: Connection) -> list[str]:
    """Create or replace the functions that are missing or of another version. Returns what was done, in words.

    The comment on a function holds two hashes: that of its file, and that of its definition just after it was created.

    Raises:
        SchemaError: a file does not create the function that it is named after.
    """
    changed = []
    for path in sql_files("functions/*.sql"):
        text = sql(f"functions/{path.name}")
        file = hashlib.sha256(text.encode()).hexdigest()
        there = await connection.fetchrow(SQL["function"], path.stem)
        public = path.stem in FOR_EVERYONE
        if there is None or there["comment"] != f"{file} {there['definition']}" or there["public"] != public:
            async with connection.transaction():
                await connection.execute(text)
                created = await connection.fetchrow(SQL["function"], path.stem)
                if created is None:
                    raise SchemaError(f"{path.name} makes no function {path.stem} in a schema of ours")
                signature = created["signature"]
                await connection.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
                if public:
                    await connection.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO PUBLIC")
                await connection.execute(f"COMMENT ON FUNCTION {signature} IS '{file} {created['definition']}'")
            changed.append(path.stem)
    done = [f"functions: {', '.join(changed)}"] if changed else []
    if not await connection.fetchval(SQL["in_reach"]):
        await connection.execute("GRANT USAGE ON SCHEMA immich_indexer_2 TO PUBLIC")
        done.append("whoever writes Immich's tables may call our functions that note it")
    return done
