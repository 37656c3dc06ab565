"""What we may do with Immich's tables. sql/role.sql gives it; a table that a newer Immich adds is not among it."""

from indexer.database.pool import Connection
from indexer.database.refusal import RUN_ROLE
from indexer.database.statements import queries
from indexer.errors import SchemaError

_SQL = queries("rights")


async def require(connection: Connection) -> None:
    """See to it that our role may do what it must.

    Raises:
        SchemaError: it may not; the text says what, and what to run.
    """
    lacking: list[str] = await connection.fetchval(_SQL["lacking"])
    if lacking:
        raise SchemaError(
            f"this role lacks the right to {', '.join(lacking)}: {RUN_ROLE}. That is to be done "
            "after an upgrade of Immich from 2 to 3, and after it restored a backup"
        )
