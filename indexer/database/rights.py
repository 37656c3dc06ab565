"""What our role may do with Immich's tables. sql/role.sql grants it, but not for tables that a newer Immich adds."""

from indexer.database.pool import Connection
from indexer.database.refusal import RUN_ROLE
from indexer.database.statements import queries
from indexer.errors import SchemaError

_SQL = queries("rights")


async def require(connection: Connection) -> None:
    """Check that our role has the rights that it needs.

    Raises:
        SchemaError: a right is missing. The text says which, and what to run.
    """
    lacking: list[str] = await connection.fetchval(_SQL["lacking"])
    if lacking:
        raise SchemaError(
            f"this role lacks the right to {', '.join(lacking)}: {RUN_ROLE}. That is to be done "
            "after an upgrade of Immich from 2 to 3, and after it restored a backup"
        )
