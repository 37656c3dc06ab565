"""Reads previews from Immich's folder, which may be on a disk or a network that stops answering."""

import asyncio
import contextlib
import os
import stat
from pathlib import Path

from indexer import images
from indexer.errors import IndexerError, PictureError, words_of
from indexer.images import PathMap
from indexer.settings import Settings
from indexer.threads import Threads

_READERS = 8  # files read at once, so that the models need not wait for a slow disk
_MOST_HANGING = 500  # reads that have timed out and still hang. With more the disk counts as gone


class MediaError(IndexerError):
    """The folder, or a file in it, cannot be read now. No photo is to blame: it is tried again later."""


class UnreadableError(MediaError):
    """A file exists and cannot be read, because of itself, of its folder, of the disk or of this process."""


class ForbiddenError(UnreadableError):
    """The user of this process may not read a file. The text says which user it is, and what to set."""


class Media:
    """Reads each preview in a thread that does nothing else meanwhile, because a read that hangs cannot be stopped.

    After `timeout` its thread is left alone, and the next file is read. A file whose read still hangs is not read again
    until that read has ended. So a file that never answers costs its timeout only once.

    Args:
        path_map: where previews are.
        max_bytes: larger files are refused.
        timeout: seconds that reading one may take.
    """

    def __init__(self, path_map: PathMap, *, max_bytes: int, timeout: float) -> None:
        self._path_map = path_map
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._places = asyncio.Semaphore(_READERS)
        self._hanging: set[Path] = set()
        self._threads: Threads[bytes] = Threads()

    @classmethod
    def of(cls, settings: Settings) -> "Media":
        """The folder that the settings name."""
        return cls(
            settings.path_map(),
            max_bytes=settings.max_preview_megabytes << 20,
            timeout=settings.read_timeout_seconds,
        )

    async def read(self, immich_path: str, *, interactive: bool = False) -> bytes:
        """The content of the file that Immich calls `immich_path`. `interactive`: without waiting for other reads.

        Raises:
            PictureError: the file is missing, no file, empty or too large.
            UnreadableError: it cannot be read. ForbiddenError, where this process may not read it.
            MediaError: the folder is missing, or reading takes too long.
            MemoryError: there is none for the file, or for a thread.
        """
        path = self._path_map(immich_path)
        async with contextlib.nullcontext() if interactive else self._places:
            if path in self._hanging:
                raise MediaError(f"an earlier read of {path} still hangs: does its disk answer?")
            if len(self._hanging) >= _MOST_HANGING:
                raise MediaError(f"{_MOST_HANGING} reads hang, so {path} is not read: does its disk answer?")
            future = self._threads.submit(self._read, path)
            try:
                async with asyncio.timeout(self._timeout):
                    return await asyncio.wrap_future(future)
            except TimeoutError:
                self._hanging.add(path)
                future.add_done_callback(lambda _: self._hanging.discard(path))  # called at once if it has just ended
                raise MediaError(f"{path} was not read within {self._timeout:g} s: does its disk answer?") from None

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
            # Immich keeps previews as thumbs/owner/ab/cd/name. Where `thumbs` is missing, its folder is not mounted.
            thumbs = path.parents[min(3, len(path.parents) - 1)]
            if os.path.isdir(thumbs):  # noqa: PTH112 - unlike Path.is_dir, it raises nothing where rights are missing
                raise
            raise MediaError(f"{thumbs} is not there: is Immich's folder mounted? (MEDIA_PATH_MAP)") from None


def _forbidden(path: Path) -> str:
    """Which user may not read `path`, because of which folder or file, and what to do."""
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
