"""Downloads one published file, from the first host that delivers it. It continues where an earlier try stopped.

The file's digest is known, so any host will do, and one may continue where another stopped. The bytes go to
`<name>.part` and are checked. Only then the file gets its name: a file of that name is always complete.
"""

import errno
import fcntl
import http.client
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO
from urllib.parse import urlsplit

from indexer.errors import WeightsError
from indexer.models.files.published import PublishedFile, megabytes, sha256_of

Progress = Callable[[str, int], None]
"""Called with the name of the host and the number of bytes present. An exception in it ends the download."""

_CHUNK = 1 << 20
_WINDOW = 30.0  # seconds over which a host's speed is measured
_LEAST = 4096  # bytes a second: a slower host is left for the next one
_OUR_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}


class TakenError(WeightsError):
    """Another process is downloading the same file."""


class _HostError(Exception):
    """A host does not deliver. The text says why. Another host may deliver."""


def download(file: PublishedFile, progress: Progress | None = None, *, silence: float = 10) -> None:
    """Download `file`, asking its addresses one after the other. Blocks. Does nothing where the file exists already.

    A host that sends nothing for `silence` seconds is given up.

    Raises:
        TakenError: another process is downloading it.
        WeightsError: no host delivers it (with each host's reason), or it cannot be written here.
    """
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(file) as part:
            if not file.is_genuine():
                _from_any(file, part, progress or (lambda host, done: None), silence)
                file.part.replace(file.path)
    except OSError as error:
        raise WeightsError(f"cannot write {file.part}: {error.strerror or error}") from error


@contextmanager
def _locked(file: PublishedFile) -> Iterator[IO[bytes]]:
    """The `.part` file, locked for us."""
    while True:
        with file.part.open("ab+") as part:
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TakenError(f"another process is downloading {file.path}") from None
            except OSError:  # a file system without locks
                pass
            # The process that had the lock may have finished meanwhile. Then this is the complete, renamed file.
            if not file.part.exists() or not os.path.samestat(os.fstat(part.fileno()), file.part.stat()):
                continue
            try:
                yield part
            finally:
                if file.part.exists() and not file.part.stat().st_size:
                    file.part.unlink()
            return


def _from_any(file: PublishedFile, part: IO[bytes], progress: Progress, silence: float) -> None:
    """Complete `part`."""
    troubles = []
    for address in file.addresses:
        host = urlsplit(address).netloc
        try:
            _from(address, host, file, part, progress, silence)
        except _HostError as error:
            troubles.append(f"{host}: {error}")
            continue
        found = sha256_of(file.part)
        if found == file.sha256:
            return
        part.truncate(0)
        troubles.append(f"{host}: what arrived is not what was published (SHA-256 {found}), and was deleted")
    raise WeightsError(f"{file.path.name} cannot be downloaded now: {'; '.join(troubles)}")


def _from(address: str, host: str, file: PublishedFile, part: IO[bytes], progress: Progress, silence: float) -> None:
    """Complete `part` from one host, continuing at its end."""
    done = os.fstat(part.fileno()).st_size
    if done > file.size:
        part.truncate(0)
        done = 0
    if done == file.size:
        return
    free = shutil.disk_usage(file.path.parent).free
    if free < file.size - done:
        raise WeightsError(
            f"{file.path.parent} has room for {megabytes(free)}, {file.path.name} needs {megabytes(file.size - done)}"
        )
    headers = {"User-Agent": "immich-indexer"} | ({"Range": f"bytes={done}-"} if done else {})
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - a host named by us or the operator
    try:
        with urllib.request.urlopen(request, timeout=silence) as response:  # noqa: S310
            start = _start(response, done, file.size)
            if start != done:
                part.truncate(0)
            progress(host, start)
            _copy(response, part, start, file.size, lambda done: progress(host, done))
    except urllib.error.HTTPError as error:
        raise _HostError(f"answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(error, OSError) and error.errno in _OUR_DISK and not isinstance(error, urllib.error.URLError):
            raise
        raise _HostError(_short(reason, silence)) from error


def _start(response: http.client.HTTPResponse, done: int, size: int) -> int:
    """The byte at which the response begins, if it is the right file."""
    start = 0  # a host without ranges sends the whole file
    if response.status == 206:
        given = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        start = int(given) if given.isdecimal() else done
        if start != done:
            raise _HostError(f"sends from byte {start} where {done} was asked for")
    promised = start + int(response.headers.get("Content-Length") or size - start)
    if promised != size:  # probably a login page
        raise _HostError(f"delivers {promised} bytes, the published file has {size}")
    return start


def _copy(
    response: http.client.HTTPResponse, part: IO[bytes], done: int, size: int, progress: Callable[[int], None]
) -> None:
    since, before = time.monotonic(), done
    try:
        while chunk := response.read1(_CHUNK):
            part.write(chunk)
            done += len(chunk)
            progress(done)
            if (seconds := time.monotonic() - since) > _WINDOW:
                if done - before < _LEAST * seconds and done < size:
                    raise _HostError(f"too slow, {(done - before) / seconds:.0f} bytes a second")
                since, before = time.monotonic(), done
    finally:
        part.flush()  # the next host continues here
    os.fsync(part.fileno())
    if done < size:
        raise _HostError(f"broke off after {done} of {size} bytes")


def _short(reason: object, silence: float) -> str:
    if isinstance(reason, TimeoutError):
        return f"no answer for {silence:.0f} s"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({reason.verify_message})"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__
