"""The owners of our database objects. A longer name than that of Immich's user would break Immich 3's restore.

When Immich 3 restores a backup, it writes the name of its own database user over the name of each owner in the dump,
byte by byte. Where the owner's name is longer, its end stays, and the result names no role.
"""

from indexer.database.pool import Connection
from indexer.database.statements import queries

ROLE = "ii"  # the role that sql/role.sql makes

_SQL = queries("owners")


async def trouble(connection: Connection) -> str | None:
    """What prevents Immich 3 from restoring its backups, and what to run. None where nothing does.

    `connection` is a connection to Immich's database, as any role.
    """
    row = await connection.fetchrow(_SQL["too_long"])
    if row is None:
        return None
    owner, immich, database = row["owner"], row["immich"], row["database"]
    if owner == ROLE:  # Immich's user has a name of one letter: no shorter name exists
        command, user = f"psql -d {database} -c 'REASSIGN OWNED BY {owner} TO {immich}'", immich
        how = "As a superuser"
    else:
        command, user = f"psql -q -d {database} -v password='choose one' -f sql/role.sql", ROLE
        how = "Start the service `role` (it runs `immich-indexer role`), or as a superuser"
    return (
        f"Immich 3 cannot restore its backups: our objects belong to {owner}, a longer name than that of Immich's own "
        f"database user, {immich}. {how} run `{command}`, then set DB_USERNAME={user} and its password"
    )
