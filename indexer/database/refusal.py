"""Errors that the database returns because our settings are wrong. Others pass, as when a server is still starting.

Such an error ends the process at once, with a sentence: waiting would change nothing. A wrong login and an unknown
database do the same, by their own exception classes. The service manager then starts us again, which is enough where
the role is created a moment later.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

# How our database role gets its rights. It follows "..., " in a message, and is the person's next step.
RUN_ROLE = "start the service `role` again (it runs `immich-indexer role`), or run sql/role.sql as a superuser"
POOLER = (
    "between us and the database stands a connection pooler (pgbouncer?), which keeps from the server what a session "
    "of ours needs: connect to PostgreSQL itself (check DB_HOSTNAME and DB_PORT, or DB_URL)"
)
# A server's messages about `options` in the URL that it does not know or does not allow us to set.
_ASKED_TOO_MUCH = (
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidParameterValueError,
    asyncpg.CantChangeRuntimeParamError,
    asyncpg.PostgresSyntaxError,
)


class RefusedError(asyncpg.InterfaceError):
    """The settings make it impossible to work with the database, and waiting does not help. The text says why."""


@contextmanager
def refusals() -> Iterator[None]:
    """A context for connecting. Raises RefusedError instead of asyncpg's error for a wrong setting."""
    try:
        yield
    except (OSError, asyncpg.PostgresError) as error:
        why = _why(error)
        if why is None:
            raise
        raise RefusedError(why) from error


def _why(error: OSError | asyncpg.PostgresError) -> str | None:
    text = str(error).partition("\n")[0]  # details and hints follow
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the database's certificate is not trusted: {error.verify_message} (check DB_SSL_MODE, or sslmode and "
            "sslrootcert in DB_URL; PGSSLROOTCERT names a file of certificates to trust)"
        )
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return f"the database and we do not agree on TLS: {error.reason or text} (check DB_SSL_MODE, or DB_URL)"
    if type(error) is ConnectionError and "SSL upgrade" in text:  # asyncpg has no class for it
        return "the database offers no TLS, which DB_SSL_MODE, or sslmode in DB_URL, asks for"
    if isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in text:
        return POOLER
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return f"the database does not let us in: {text} ({RUN_ROLE}; or check DB_USERNAME, or DB_URL)"
    if isinstance(error, _ASKED_TOO_MUCH):
        return f"the database refuses what DB_URL asks for: {text}"
    return None
