"""How long to wait before asking the database again, so that its refusals do not fill its log."""

from collections.abc import Callable

import asyncpg
from tenacity import RetryCallState

from indexer.errors import SchemaError

_LONGEST = 60.0  # seconds, and so much later at most we notice that all is well again
# A right, a table or a schema is missing, or the login is wrong.
_REFUSALS = (
    asyncpg.SyntaxOrAccessError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    SchemaError,
)


class Backoff:
    """The pauses of one loop: `usual` seconds, and twice as long after each refusal in a row, up to a minute.

    Each refusal is an error in PostgreSQL's log, and they may go on until a person does something: after a restored
    backup until sql/role.sql was run. Other trouble passes by itself, often soon, and its pauses do not grow.
    """

    def __init__(self, usual: float) -> None:
        self._usual = usual
        self._refusals = 0

    def after(self, error: BaseException | None) -> float:
        """Seconds to wait after a try that ended with `error`, or (None) went well."""
        if not isinstance(error, _REFUSALS):
            self._refusals = 0
            return self._usual
        pause = self._usual * 2.0 ** min(self._refusals, 30)
        self._refusals += 1
        return max(self._usual, min(pause, _LONGEST))


def at_least(first: float, usual: Callable[[RetryCallState], float]) -> Callable[[RetryCallState], float]:
    """For tenacity: `usual` pauses, but none shorter than `Backoff(first)` says."""
    backoff = Backoff(first)

    def wait(state: RetryCallState) -> float:
        return max(usual(state), backoff.after(state.outcome.exception() if state.outcome else None))

    return wait
