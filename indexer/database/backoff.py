"""How long to wait before the next query after an error, so that repeated errors do not fill the server's log."""

from collections.abc import Callable

import asyncpg
from tenacity import RetryCallState

from indexer.errors import SchemaError

_LONGEST = 60.0  # seconds: also the longest time until we notice that the database works again
# A right, a table or a schema is missing, or the login is wrong.
_REFUSALS = (
    asyncpg.SyntaxOrAccessError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    SchemaError,
)


class Backoff:
    """The pauses of one loop: `usual` seconds, doubled after each refusal in a row, up to a minute.

    A refusal is, for example, a missing right after a restored backup. It lasts until a person acts, and each one is
    an error in PostgreSQL's log. Other errors end by themselves, often soon, so their pauses do not grow.
    """

    def __init__(self, usual: float) -> None:
        self._usual = usual
        self._refusals = 0

    def after(self, error: BaseException | None) -> float:
        """Seconds to wait after a try that ended with `error`. None means that the try succeeded."""
        if not isinstance(error, _REFUSALS):
            self._refusals = 0
            return self._usual
        pause = self._usual * 2.0 ** min(self._refusals, 30)
        self._refusals += 1
        return max(self._usual, min(pause, _LONGEST))


def at_least(first: float, usual: Callable[[RetryCallState], float]) -> Callable[[RetryCallState], float]:
    """For tenacity: the pauses of `usual`, but none shorter than those of `Backoff(first)`."""
    backoff = Backoff(first)

    def wait(state: RetryCallState) -> float:
        return max(usual(state), backoff.after(state.outcome.exception() if state.outcome else None))

    return wait
