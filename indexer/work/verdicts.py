"""Decides whose fault an error is: the photo's, the machine's or Immich's. This is decided only here.

An error is the machine's fault unless it is known to be the photo's or Immich's. So the list below names errors that
are not the machine's: every other error, also an unknown one, is. `models.engine` proves that a photo is at fault: a
model fails on it again and again, alone, and answers a known question rightly in between.
"""

import errno
import re
from enum import Enum

import asyncpg
from asyncpg import exceptions

from indexer.database.refusal import RefusedError
from indexer.database.trouble import TROUBLE
from indexer.errors import IndexerError, PictureError
from indexer.models.engines import states
from indexer.models.engines.messages import lacks_memory
from indexer.models.engines.states import GuiltError


class Verdict(Enum):
    """Whose fault an error is. This decides what happens to the job."""

    PHOTO = "photo"  # an attempt is counted; after too many the photo is given up, with the reason
    MACHINE = "machine"  # nothing is counted: the job is released, waits with growing pauses, and is never given up
    IMMICH = "immich"  # the photo is gone, or has changed: look again


PROVEN = "while other photos went well"  # ends the reason of a photo that could not be written or decoded

# By SQLSTATE or its class, the longest first. The database refuses the data of a photo (22, 23), or the photo is gone
# (23503). Immich may be changing its columns at this moment, so the writer tries again before an attempt is counted.
_REFUSED = {"23503": Verdict.IMMICH, "22": Verdict.PHOTO, "23": Verdict.PHOTO}

# No photo is at fault for these, even where other photos can be written: the connection, a read-only transaction, a
# rollback, a lock, no disk space or memory or connection, an administrator who intervenes, an I/O error.
_NEVER_PROVEN = ("08", "25", "40", "53", "55", "57", "58")

# What the system says when this process may have no more of something.
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN)

# The settings are wrong: waiting is useless, a person has to change them.
_LASTING = (
    RefusedError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    IndexerError,
)


def of(error: BaseException) -> Verdict:
    """The verdict on an error raised by reading one photo, or by writing its results alone."""
    if isinstance(error, PictureError | GuiltError):
        return Verdict.PHOTO
    state = _sqlstate(error)
    for prefix, verdict in _REFUSED.items():
        if state.startswith(prefix):
            return verdict
    return Verdict.PHOTO if _is_unfit(error) else Verdict.MACHINE


def can_be_proven(error: BaseException) -> bool:
    """Whether an error of the machine can prove to be a photo's, by coming again with that photo and no other.

    Not where memory, threads or open files are short: a large photo needs more of them than a small one.
    """
    cause = error.__cause__
    if isinstance(error, OSError) or (isinstance(cause, OSError) and cause.errno in _SHORT):
        return False
    if isinstance(error, MemoryError | RuntimeError) and lacks_memory(error):
        return False
    return _sqlstate(error)[:2] not in _NEVER_PROVEN


def passes(error: BaseException) -> bool:
    """Whether an error of the database may pass by itself, so that it is asked again, for ever if need be.

    Where the settings are wrong it does not pass. Then the process says why, and ends; whoever runs it restarts it.
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


# The reasons kept with photos that were given up. Earlier versions gave up photos for every error.
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
    """The verdict on a photo that was given up, from the reason that was kept with it."""
    is_the_photos = _PHOTOS_REASON.match(reason) and (re.search(_PROOF, reason) or not _MACHINES_REASON.search(reason))
    return Verdict.PHOTO if is_the_photos else Verdict.MACHINE
