"""The sides of `bench peers`: each a server or two, started as its users start it."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import aiohttp
import asyncpg
from pgvector import HalfVector

from bench.gateway import IMAGE, TEXTUAL
from bench.pipeline import idle, reread
from bench.services import OWN, free_port, predict, service, until_it_answers
from indexer.demo.immich import StandIn
from indexer.models.ocr.names import EngineName, model_files

_AT_ONCE = 4  # photos
_CLIP = "ViT-B-16__openai"  # a name that Immich's server knows; which model it is, its folder says
_OCR = "PP-OCRv5_mobile"  # as above
_KEY = "bench"


@dataclass(frozen=True)
class Answer:
    """What a side has read in one picture."""

    lines: Sequence[str]
    vector: Sequence[float]


class Side(Protocol):
    """One side. `processes`: those that were started, while `started` lasts."""

    processes: list[int]

    def started(self) -> AbstractAsyncContextManager[None]:
        """Serves until the end of the block."""

    async def read(self, pictures: Sequence[bytes]) -> list[Answer]:
        """Read them anew, several at once."""

    async def ask(self, text: str) -> None:
        """Have a search turned into its vector."""


class Ours:
    """The indexer, its queue and the gateway, on a PostgreSQL server that is there, in a library of these pictures."""

    def __init__(self, url: str, clip: Path, weights: Path, media: Path, pictures: Sequence[bytes]) -> None:
        self.processes: list[int] = []
        self._url, self._clip, self._weights, self._media = url, clip, weights, media
        self._pictures, self._assets = pictures, dict[bytes, UUID]()

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """As `Side`."""
        port = free_port()
        environment = {
            "DB_URL": self._url,
            "MEDIA_PATH_MAP": f"/data={self._media}",
            "CLIP_MODEL": str(self._clip),
            "CLIP_DOWNLOAD_ROOT": str(self._weights),
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "LOG_LEVEL": "error",
        }
        async with contextlib.AsyncExitStack() as stack:
            self._pool = await stack.enter_async_context(asyncpg.create_pool(self._url, min_size=1, max_size=4))
            self._immich = StandIn(self._pool, self._media)
            await self._immich.install()
            self._owner = await self._immich.create_user("bench")
            commands = [str(OWN / "immich-indexer"), "run"], [str(OWN / "immich-gateway")]
            for command in commands:
                self.processes.append(await stack.enter_async_context(service(command, environment)))
            self._session = await stack.enter_async_context(_session(port))
            await until_it_answers(self._session, "/ping")
            while await self._pool.fetchval("SELECT to_regclass('immich_indexer.photo') IS NULL"):
                await asyncio.sleep(0.2)  # the indexer makes its tables as it starts
            for data in self._pictures:
                self._assets[data] = await self._immich.upload(data, owner=self._owner)
            await idle(self._pool)
            yield

    async def read(self, pictures: Sequence[bytes]) -> list[Answer]:
        """As `Side`."""
        assets = [self._assets[data] for data in pictures]
        await reread(self._pool, assets)
        rows = await self._pool.fetch(
            """SELECT asset_id, clip::text AS vector, ARRAY (SELECT text FROM public.asset_ocr
                WHERE "assetId" = asset_id AND "isVisible") AS lines FROM immich_indexer.photo"""
        )
        read = {row["asset_id"]: Answer(row["lines"], HalfVector.from_text(row["vector"]).to_list()) for row in rows}
        return [read[asset] for asset in assets]

    async def ask(self, text: str) -> None:
        """As `Side`."""
        await predict(self._session, TEXTUAL, text=text)


class Immichs:
    """Immich's machine-learning server, asked as Immich asks it: a request for the vector, another for the text.

    Args:
        python: an interpreter that has it.
        package: the CLIP model.
        cache: its folder of models, to be made.
        ocr: the RapidOCR package whose models it is given.
    """

    def __init__(self, python: Path, package: Path, cache: Path, ocr: EngineName) -> None:
        self.processes: list[int] = []
        self._python, self._cache = python, cache
        shutil.copytree(package, cache / "clip" / _CLIP)
        detector, _, recogniser = model_files(ocr)
        for file, part in ((detector, "detection"), (recogniser, "recognition")):
            (cache / "ocr" / _OCR / part).mkdir(parents=True)
            shutil.copy(file, cache / "ocr" / _OCR / part / "model.onnx")

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """As `Side`."""
        port = free_port()
        environment = {
            **_first_in_path(self._python),
            "IMMICH_HOST": "127.0.0.1",
            "IMMICH_PORT": str(port),
            "IMMICH_LOG_LEVEL": "error",
            "MACHINE_LEARNING_CACHE_FOLDER": str(self._cache),
            "MACHINE_LEARNING_MODEL_TTL": "0",
        }
        async with service([str(self._python), "-m", "immich_ml"], environment) as process, _session(port) as session:
            self.processes, self._session = [process], session
            await until_it_answers(session, "/ping")
            yield

    async def read(self, pictures: Sequence[bytes]) -> list[Answer]:
        """As `Side`."""
        return await _several(self._read, pictures)

    async def _read(self, picture: bytes) -> Answer:
        clip: Any = await predict(self._session, {"clip": {"visual": {"modelName": _CLIP}}}, image=picture)
        text: Any = await predict(self._session, {"ocr": IMAGE["ocr"]}, image=picture)
        return Answer(text["ocr"]["text"], json.loads(clip["clip"]))

    async def ask(self, text: str) -> None:
        """As `Side`."""
        entries = {"clip": {"textual": {**TEXTUAL["clip"]["textual"], "modelName": _CLIP}}}
        await predict(self._session, entries, text=text)


class MtPhotosAi:
    """mt-photos-ai, asked as MT Photos asks it.

    Args:
        python: an interpreter with its packages.
        source: the folder of its source.
        clip: cn_clip's file of weights.
        cache: its folder of weights, to be made.
    """

    def __init__(self, python: Path, source: Path, clip: Path, cache: Path) -> None:
        self.processes: list[int] = []
        self._python, self._source, self._cache = python, source, cache
        cache.mkdir()
        shutil.copy(clip, cache / "clip_cn_vit-b-16.pt")

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """As `Side`."""
        port = free_port()
        environment = {
            **_first_in_path(self._python),
            "PYTHONPATH": str(self._source),
            "API_AUTH_KEY": _KEY,
            "HTTP_PORT": str(port),
            "CLIP_MODEL": "ViT-B-16",
            "CLIP_DOWNLOAD_ROOT": str(self._cache),
            "SERVER_RESTART_TIME": "86400",
        }
        command = [str(self._python), "-m", "app"]
        async with (
            service(command, environment, folder=self._source) as process,
            _session(port, {"api-key": _KEY}) as session,
        ):
            self.processes, self._session = [process], session
            await until_it_answers(session, "/check", method="POST")
            yield

    async def read(self, pictures: Sequence[bytes]) -> list[Answer]:
        """As `Side`."""
        return await _several(self._read, pictures)

    async def _read(self, picture: bytes) -> Answer:
        vector = await self._ask("/clip/img", data=_file(picture))
        text = await self._ask("/ocr", data=_file(picture))
        return Answer(text["texts"], [float(number) for number in vector])

    async def ask(self, text: str) -> None:
        """As `Side`."""
        await self._ask("/clip/txt", json={"text": text})

    async def _ask(self, path: str, **body: Any) -> Any:
        async with self._session.post(path, **body) as response:
            answer = await response.json()
        if response.status != 200 or "msg" in answer:  # it answers errors with 200
            raise RuntimeError(f"mt-photos-ai, {path}: {response.status} {answer}")
        return answer["result"]


def _file(picture: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", picture, filename="picture")
    return form


def _session(port: int, headers: dict[str, str] | None = None) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=600)
    return aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers, timeout=timeout)


def _first_in_path(python: Path) -> dict[str, str]:
    """Both servers start a `python` of their own."""
    return {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}


async def _several(read: Callable[[bytes], Coroutine[Any, Any, Answer]], pictures: Sequence[bytes]) -> list[Answer]:
    """Read all, four at a time."""
    answers: dict[int, Answer] = {}
    left = iter(enumerate(pictures))

    async def some() -> None:
        for number, picture in left:
            answers[number] = await read(picture)

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
    return [answers[number] for number in range(len(pictures))]
