"""A gateway to measure: served in this process over a real socket, on a database and a model of its own."""

import argparse
import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import numpy as np
import numpy.typing as npt
from aiohttp import web

from bench.pipeline import checkpoint
from bench.queue import on_database
from gateway import models
from gateway.app import create_app
from gateway.ml.protocol import PredictRequest, form
from gateway.ml.text import TextModel
from gateway.models import LazyModels
from indexer.demo.immich import StandIn
from indexer.settings import Settings

TEXTUAL = {"clip": {"textual": {"modelName": "ViT-B-32__openai", "options": {"language": "zh-CN"}}}}
IMAGE = {
    "clip": {"visual": {"modelName": "ViT-B-32__openai"}},
    "ocr": {
        "detection": {"modelName": "PP-OCRv5_mobile", "options": {"minScore": 0.5, "maxResolution": 736}},
        "recognition": {"modelName": "PP-OCRv5_mobile", "options": {"minScore": 0.8}},
    },
}

_WHO = ("孩子", "奶奶", "小猫", "两只狗", "一家人", "同事")
_WHAT = ("在海边看日落", "吃火锅", "过生日", "骑自行车", "2025年8月的发票", "在雪地里", "看书")
_WHERE = ("北京", "成都的公园", "家里", "机场", "", "图书馆门口")


def queries() -> Iterator[str]:
    """What people type, no two alike, so that nothing is taken from a cache."""
    for number, (who, what, where) in enumerate(itertools.cycle(itertools.product(_WHO, _WHAT, _WHERE))):
        yield f"{where}{who}{what}{number}"


class OneThread:
    """A text tower whose every call runs in one thread: a second would slow both."""

    def __init__(self, model: TextModel) -> None:
        self.name, self.dimensions = model.name, model.dimensions
        self._model = model
        self._executor = ThreadPoolExecutor(1)

    def encode_texts(self, texts: Sequence[str], language: str | None = None) -> npt.NDArray[np.float32]:
        """As the model does."""
        return self._executor.submit(self._model.encode_texts, texts, language).result()


@dataclass(frozen=True)
class Served:
    """A gateway, its models, and a client with connections to spare."""

    models: LazyModels
    _url: str
    _session: aiohttp.ClientSession

    async def text(self, query: str) -> None:
        """One search."""
        await self._ask(*form(TEXTUAL, text=query))

    async def image(self, data: bytes) -> None:
        """One picture, its vector and its text."""
        await self._ask(*form(IMAGE, image=data))

    async def _ask(self, body: bytes, content_type: str) -> None:
        async with self._session.post(self._url, data=body, headers={"Content-Type": content_type}) as response:
            if response.status != 200:
                raise RuntimeError(f"{response.status}: {await response.text()}")
            await response.read()


@contextlib.contextmanager
def workplace(options: argparse.Namespace) -> Iterator[tuple[Settings, Path]]:
    """Settings for a database to use up and the model asked for, and a folder for files."""
    with (
        tempfile.TemporaryDirectory() as name,
        on_database(options.url) as url,
        checkpoint(options.clip, Path(name)) as clip,
    ):
        yield Settings.load(db_url=url, clip_model=clip, log_level="error", _env_file=None), Path(name)


@contextlib.asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Served]:
    """A gateway at work."""
    connection = await asyncpg.connect(settings.dsn)
    try:
        await StandIn(connection, Path()).install()
    finally:
        await connection.close()
    loaded = await asyncio.to_thread(models.load, settings)
    runner = web.AppRunner(create_app(settings, loaded, forward=_nobody), handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/predict"
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            yield Served(loaded, url, session)
    finally:
        await runner.cleanup()


async def _nobody(request: PredictRequest) -> dict[str, object]:
    raise NotImplementedError
