"""The errors that a query may raise, and their explanations for a person."""

import asyncpg

from indexer.database.refusal import RUN_ROLE, RefusedError
from indexer.errors import words_of

# All errors that a query may raise. asyncpg has no common base class for its own. It raises the last one for a query
# that is sent after the server has ended the session and before the connection is closed.
TROUBLE = (OSError, MemoryError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# What a person can do about errors of the server.
_ADVICE = (
    (
        asyncpg.ReadOnlySQLTransactionError,
        "the database may not be written to (after a fail-over? connect to the server that may)",
    ),
    (asyncpg.DiskFullError, "the database's disk is full: make room on it"),
    (asyncpg.PostgresIOError, "the database cannot read or write its disk (see its log)"),
    (asyncpg.OutOfMemoryError, "the database has no memory left"),
    (asyncpg.TooManyConnectionsError, "the database has no connection left (raise max_connections)"),
    (asyncpg.QueryCanceledError, "the database ended a statement of ours (is statement_timeout set there?)"),
    (asyncpg.CannotConnectNowError, "the database is starting, shutting down or in recovery"),
)

# asyncpg's errors for a connection that ends while it is in use.
_CUT_OFF = (asyncpg.InternalClientError, asyncpg.ConnectionDoesNotExistError)


def explain(error: BaseException) -> str:
    """A database error in words that say what to check. Never contains a password."""
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
        return (
            f"the database refused the login: {words_of(error)} (check DB_USERNAME, DB_PASSWORD, DB_URL; or {RUN_ROLE})"
        )
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"{words_of(error)} (check DB_DATABASE_NAME)"
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return f"{words_of(error)} ({RUN_ROLE}: also after a restore, and after Immich 2 became 3)"
    if isinstance(error, _CUT_OFF) or (isinstance(error, asyncpg.InterfaceError) and "closed" in str(error)):
        return "the connection to the database ended: the server was restarted, or the line was cut"
    for kind, advice in _ADVICE:
        if isinstance(error, kind):
            return f"{advice}: {words_of(error)}"
    if isinstance(error, OSError | TimeoutError):
        return f"cannot reach the database: {words_of(error)} (check DB_HOSTNAME and DB_PORT, or DB_URL)"
    return f"{type(error).__name__}: {words_of(error)}"
