"""Whose fault an error is: the photo's, the machine's or Immich's. Nowhere else is that decided.

The machine is guilty until the photo is proven to be. So the list below is of what is not the machine's: whatever is
not on it, and whatever nobody has heard of, is. Proof against a photo is `models.engine`'s: a model fails on it again
and again, alone, and answers a known question rightly in between.
"""

import re
from enum import Enum

import asyncpg
from asyncpg import exceptions

from indexer.database.refusal import RefusedError
from indexer.database.trouble import TROUBLE
from indexer.errors import IndexerError, PictureError
from indexer.models import states
from indexer.models.states import GuiltError


class Verdict(Enum):
    """Whose fault it is, which says what becomes of the work."""

    PHOTO = "photo"  # counts an attempt; in the end the photo is given up, with the reason
    MACHINE = "machine"  # counts nothing: the work goes back, waits with growing pauses, and is never given up
    IMMICH = "immich"  # the photo is gone, or another by now: look again


PROVEN = "while other photos went well"  # ends the reason of a photo that could not be written or decoded

# By SQLSTATE or its class, the longest first. The database refuses the very data of a photo (22, 23), or the photo is
# gone by now (23503). Immich may be changing its columns at this moment: whoever writes looks again before it counts.
_REFUSED = {"23503": Verdict.IMMICH, "22": Verdict.PHOTO, "23": Verdict.PHOTO}

# Of these no photo is guilty, though others are written meanwhile: the connection, a read-only transaction, a rollback,
# a lock, no room or memory or connection, an administrator who steps in, an I/O error.
_NEVER_PROVEN = ("08", "25", "40", "53", "55", "57", "58")

# The settings are wrong: waiting changes nothing, a person must.
_LASTING = (
    RefusedError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    IndexerError,
)


def of(error: BaseException) -> Verdict:
    """The verdict on what reading a photo, or writing its results alone, has raised."""
    if isinstance(error, PictureError | GuiltError):
        return Verdict.PHOTO
    state = _sqlstate(error)
    for prefix, verdict in _REFUSED.items():
        if state.startswith(prefix):
            return verdict
    return Verdict.PHOTO if _is_unfit(error) else Verdict.MACHINE


def can_be_proven(error: BaseException) -> bool:
    """Whether an error of the machine's is found to be a photo's where it comes again with just that photo."""
    return not isinstance(error, OSError) and _sqlstate(error)[:2] not in _NEVER_PROVEN


def passes(error: BaseException) -> bool:
    """Whether to ask the database again, be it for ever. Not where the settings are wrong: a process ends with that.

    It says why, and is started again by whoever runs it.
    """
    return isinstance(error, TROUBLE) and not isinstance(error, _LASTING)


def _sqlstate(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "") if isinstance(error, asyncpg.PostgresError) else ""


def _is_unfit(error: BaseException) -> bool:
    """Whether asyncpg itself refuses a value that it was given."""
    return (
        isinstance(error, asyncpg.InterfaceError)
        and isinstance(error, ValueError)
        and not isinstance(error, exceptions.ClientConfigurationError)
    )


# Reasons kept with photos that were given up; also by earlier versions, which gave up for everything.
_REFUSALS = "|".join(
    name for name, kind in vars(exceptions).items() if str(getattr(kind, "sqlstate", "")).startswith(("22", "23"))
)
_PROOF = f"{re.escape(PROVEN)}|{re.escape(states.PROVEN)}"
_PHOTOS_REASON = re.compile(
    rf"""(no\ vector\ was\ made:\ |the\ text\ was\ not\ read:\ )?
    ( preview\ (missing|empty|too\ large)
    | preview\ unreadable:\ .*:\ (Is\ a\ directory|Not\ a\ directory|File\ name\ too\ long|Too\ many\ levels.*)$
    | picture\ (too\ large|without\ pixels) | not\ a\ readable\ picture | empty\ file | refused\ path
    | the\ indexer\ died\ while | cannot\ write\ the\ results:\ ({_REFUSALS}): | .*({_PROOF}) )""",
    re.VERBOSE | re.DOTALL,
)
_MACHINES_REASON = re.compile(r"out of memory|MemoryError|cannot allocate|too many open files", re.IGNORECASE)


def of_reason(reason: str) -> Verdict:
    """The verdict on a photo that was given up, by the reason that was kept with it."""
    is_the_photos = _PHOTOS_REASON.match(reason) and (re.search(_PROOF, reason) or not _MACHINES_REASON.search(reason))
    return Verdict.PHOTO if is_the_photos else Verdict.MACHINE
