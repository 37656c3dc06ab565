"""Who owns what is ours. Immich 3 cannot restore a backup in which an owner's name is longer than its own user's.

It writes the name of its database user over each owner's in the dump, byte by byte, and the end of a longer one stays.
"""

from indexer.database.pool import Connection
from indexer.database.statements import queries

ROLE = "ii"  # the role that sql/role.sql makes

_SQL = queries("owners")


async def trouble(connection: Connection) -> str | None:
    """What keeps Immich 3 from restoring its backups, and what to run; None where nothing does.

    `connection` is one to Immich's database, as any role.
    """
    row = await connection.fetchrow(_SQL["too_long"])
    if row is None:
        return None
    owner, immich, database = row["owner"], row["immich"], row["database"]
    if owner == ROLE:  # there is no shorter name
        command, user = f"psql -d {database} -c 'REASSIGN OWNED BY {owner} TO {immich}'", immich
        how = "As a superuser"
    else:
        command, user = f"psql -q -d {database} -v password='choose one' -f sql/role.sql", ROLE
        how = "Start the service `role` (it runs `immich-indexer role`), or as a superuser"
    return (
        f"Immich 3 cannot restore its backups: our objects belong to {owner}, a longer name than that of Immich's own "
        f"database user, {immich}. {how} run `{command}`, then set DB_USERNAME={user} and its password"
    )
