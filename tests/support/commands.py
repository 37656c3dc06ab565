"""The command `immich-indexer run` in a process of its own, with stub models in theirs: its limits, clock and log."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support.processes import children
from tests.support.stub_hosted import Faulty

SETTINGS = {
    "RETRY_SECONDS": "0.05",
    "MAX_ATTEMPTS": "1",
    "LEASE_SECONDS": "2",
    "POLL_SECONDS": "0.2",
    "RECONCILE_SECONDS": "3600",
    "CPU_THREADS": "2",
    "LOG_LEVEL": "info",
    "LOG_FORMAT": "json",
}


class Indexer:
    """The process, while it is at work.

    Attributes:
        lines: what it has said on standard error, each line as it is.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    @property
    def said(self) -> list[dict[str, Any]]:
        """The log. Raises ValueError where a line is no JSON."""
        return [json.loads(line) for line in self.lines]

    def events(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log with that event."""
        return [line for line in self.said if line["event"] == event]

    @property
    def tree(self) -> list[int]:
        """It, and the processes of its models, by their numbers."""
        return [self.process.pid, *children(self.process.pid)]

    @contextlib.contextmanager
    def limited(self, kind: int, most: Mapping[int, int]) -> Iterator[None]:
        """Limit processes of `tree`, each as `most` says, until the end of the block; what they start has their limit.

        `kind` is one of `resource`'s.
        """
        before = {pid: resource.prlimit(pid, kind) for pid in self.tree}
        for pid, limit in most.items():
            resource.prlimit(pid, kind, (limit, before[pid][1]))
        try:
            yield
        finally:
            usual = before[self.process.pid]
            for pid in self.tree:
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, kind, before.get(pid, usual))

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))


@contextlib.asynccontextmanager
async def indexing(
    url: str,
    media: Path,
    clip: Faulty,
    ocr: Faulty,
    *,
    limits: Mapping[int, int] | None = None,
    end: int = signal.SIGTERM,
    **environment: str,
) -> AsyncIterator[Indexer]:
    """One at work, from its start under `limits`, until it gets the signal `end`: with 0, if it is SIGTERM; not before.

    Args:
        url: of the database.
        media: Immich's folder.
        clip: what its CLIP model does.
        ocr: what its OCR engine does.
        limits: of each resource, one of `resource`'s.
        end: how it is ended.
        environment: of the process, besides.
    """
    models = json.dumps({"clip": asdict(clip), "ocr": asdict(ocr)})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.stub_command"),
        env=os.environ
        | SETTINGS
        | {"DB_URL": url, "MEDIA_PATH_MAP": f"/data={media}", "STUB_MODELS": models}
        | environment,
        stderr=asyncio.subprocess.PIPE,
    )
    for kind, most in (limits or {}).items():  # long before its first line is read
        resource.prlimit(process.pid, kind, (most, resource.prlimit(process.pid, kind)[1]))
    indexer = Indexer(process)
    listening = asyncio.create_task(indexer._listen())
    try:
        yield indexer
        assert process.returncode is None, indexer.lines
        process.send_signal(end)
        assert await asyncio.wait_for(process.wait(), 20) == (0 if end == signal.SIGTERM else -end), indexer.lines
    except BaseException:
        sys.stderr.write("\n".join([*indexer.lines, ""]))  # which pytest shows
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await listening


def move_clock(file: Path, seconds: int) -> None:
    """Of each process that `clock.c` is loaded into, and that has that file."""
    with file.open("r+b" if file.exists() else "wb") as opened:
        opened.write(struct.pack("q", seconds))
