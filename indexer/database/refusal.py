"""What the database refuses because of our settings, told from what passes: a server that starts, a name not there yet.

A wrong setting ends a process at once, with a sentence, for waiting changes nothing. So do, by their own classes, a
wrong login and an unknown database: whoever runs us starts us again, enough where the role comes a moment later.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

# How the role that we log in as gets its rights, to be read after "..., ": a person's next step.
RUN_ROLE = "start the service `role` again (it runs `immich-indexer role`), or run sql/role.sql as a superuser"
POOLER = (
    "between us and the database stands a connection pooler (pgbouncer?), which keeps from the server what a session "
    "of ours needs: connect to PostgreSQL itself (check DB_HOSTNAME and DB_PORT, or DB_URL)"
)
# What a server says of `options` in the URL that it does not know, or not for us.
_ASKED_TOO_MUCH = (
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidParameterValueError,
    asyncpg.CantChangeRuntimeParamError,
    asyncpg.PostgresSyntaxError,
)


class RefusedError(asyncpg.InterfaceError):
    """The database cannot be worked with as the settings have it, and waiting changes nothing; the text says why."""


@contextmanager
def refusals() -> Iterator[None]:
    """Around connecting. Raises RefusedError instead of what asyncpg raises for a wrong setting."""
    try:
        yield
    except (OSError, asyncpg.PostgresError) as error:
        why = _why(error)
        if why is None:
            raise
        raise RefusedError(why) from error


def _why(error: OSError | asyncpg.PostgresError) -> str | None:
    text = str(error).partition("\n")[0]  # what follows are details and hints
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the database's certificate is not trusted: {error.verify_message} (check DB_SSL_MODE, or sslmode and "
            "sslrootcert in DB_URL; PGSSLROOTCERT names a file of certificates to trust)"
        )
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return f"the database and we do not agree on TLS: {error.reason or text} (check DB_SSL_MODE, or DB_URL)"
    if type(error) is ConnectionError and "SSL upgrade" in text:  # asyncpg's, which has no class of its own
        return "the database offers no TLS, which DB_SSL_MODE, or sslmode in DB_URL, asks for"
    if isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in text:
        return POOLER
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return f"the database does not let us in: {text} ({RUN_ROLE}; or check DB_USERNAME, or DB_URL)"
    if isinstance(error, _ASKED_TOO_MUCH):
        return f"the database refuses what DB_URL asks for: {text}"
    return None
