"""Immich's folder of previews, which may lie on a disk or a network that stalls."""

import asyncio
import contextlib
import os
import stat
import threading
from concurrent.futures import Future
from pathlib import Path

from indexer import images
from indexer.errors import IndexerError, PictureError, words_of
from indexer.images import PathMap
from indexer.settings import Settings

_READERS = 8  # files read at once: a slow disk must not keep the models waiting
_MOST_HANGING = 500  # reads given up on that have not ended: more, and nobody is there to answer


class MediaError(IndexerError):
    """The folder, or a file in it, does not answer: no photo's fault, and worth another try later."""


class UnreadableError(MediaError):
    """A file is there and cannot be read: its own fault, or that of the folder, the disk or this process."""


class ForbiddenError(UnreadableError):
    """The user that this process runs as may not read a file; the text says which user, and what to set."""


class Media:
    """Reads previews, each in a thread of its own, for nothing can stop a read that hangs.

    Such a thread is left behind and its place given to the next file. A file whose read still hangs is not read again
    until that read has ended, so that files that never answer cost their time once and no more.

    Args:
        path_map: where previews are.
        max_bytes: larger ones are refused.
        timeout: seconds that reading one may take.
    """

    def __init__(self, path_map: PathMap, *, max_bytes: int, timeout: float) -> None:
        self._path_map = path_map
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._places = asyncio.Semaphore(_READERS)
        self._hanging: set[Path] = set()

    @classmethod
    def of(cls, settings: Settings) -> "Media":
        """The folder that the settings name."""
        return cls(
            settings.path_map(),
            max_bytes=settings.max_preview_megabytes << 20,
            timeout=settings.read_timeout_seconds,
        )

    async def read(self, immich_path: str, *, interactive: bool = False) -> bytes:
        """The file that Immich calls `immich_path`; `interactive` does not wait for others.

        Raises:
            PictureError: the file is missing, no file, empty or too large.
            UnreadableError: it cannot be read, as a ForbiddenError where this process may not.
            MediaError: the folder is not there, or the file does not come in time.
        """
        path = self._path_map(immich_path)
        async with contextlib.nullcontext() if interactive else self._places:
            if path in self._hanging:
                raise MediaError(f"an earlier read of {path} has not ended yet: is its disk there?")
            if len(self._hanging) >= _MOST_HANGING:
                raise MediaError(f"{_MOST_HANGING} previews do not come, so {path} is not tried: is its disk there?")
            future: Future[bytes] = Future()
            future.set_running_or_notify_cancel()  # so that giving up on it here does not end it
            # A daemon: a read that hangs must not keep the process from ending.
            threading.Thread(target=self._run, args=(path, future), name="read", daemon=True).start()
            try:
                async with asyncio.timeout(self._timeout):
                    return await asyncio.wrap_future(future)
            except TimeoutError:
                self._hanging.add(path)
                future.add_done_callback(lambda _: self._hanging.discard(path))  # at once, if it has just ended
                raise MediaError(f"{path} did not come within {self._timeout:g} s: is its disk there?") from None

    def _run(self, path: Path, future: "Future[bytes]") -> None:
        try:
            future.set_result(self._read(path))
        except BaseException as error:
            future.set_exception(error)

    def _read(self, path: Path) -> bytes:
        try:
            return images.read(path, max_bytes=self._max_bytes)
        except PermissionError as error:
            raise ForbiddenError(f"preview unreadable: {path}: {_forbidden(path)}") from error
        except OSError as error:
            why = error.strerror or words_of(error)
            raise UnreadableError(
                f"preview unreadable: {path}: {why}; may we read that folder, is its disk well?"
            ) from error
        except PictureError:
            # Immich keeps previews as thumbs/owner/ab/cd/name. Where not even `thumbs` is there, nothing is mounted.
            thumbs = path.parents[min(3, len(path.parents) - 1)]
            if os.path.isdir(thumbs):  # noqa: PTH112 - unlike Path's, does not raise where it may not look
                raise
            raise MediaError(f"{thumbs} is not there: is Immich's folder mounted? (MEDIA_PATH_MAP)") from None


def _forbidden(path: Path) -> str:
    """Who may not read it, because of what, and what to do."""
    user = f"permission denied for user {os.geteuid()}"
    for place in [*reversed(path.parents), path]:
        try:
            seen = place.stat()
        except OSError:
            break
        needed = os.X_OK if stat.S_ISDIR(seen.st_mode) else os.R_OK
        if not os.access(place, needed, effective_ids=True):
            return (
                f"{user}: {place} belongs to {seen.st_uid}:{seen.st_gid}, mode {stat.S_IMODE(seen.st_mode):04o}: set "
                f"INDEXER_UID={seen.st_uid} and INDEXER_GID={seen.st_gid}, or run `chmod --recursive o+rX` on that "
                "folder of Immich's"
            )
    return (
        f"{user}: set INDEXER_UID and INDEXER_GID to a user and group that may read Immich's folder, or let all read it"
    )
