"""Takes pictures of every view of the console, to be looked at: `make screenshots`.

A stand-in for Immich, an indexer and a gateway, all at work; the pictures are drawn, and what they say was really read.
"""

import asyncio
import contextlib
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import asyncpg
from PIL import Image
from playwright.async_api import Browser

from gateway import models as gateway_models
from indexer import logs
from indexer.demo.immich import StandIn
from indexer.demo.scenes import SCENES
from indexer.demo.server import THROWAWAY, EmbeddedServer
from indexer.images import Picture
from indexer.models.clip.cn_clip.small import small_config, write_random_checkpoint
from indexer.models.inference import OcrModel
from indexer.models.results import Detection, Line
from indexer.settings import Settings
from indexer.work.worker import Models, load_models
from tests.support.console import DESK, NO_BROWSER, PHONE, Reader, browsing, chromium, console_of, reading
from tests.support.installs import install
from tests.support.workers import eventually, idle, settings_for, working

NAMES = (
    *("receipt-invoice", "receipt-supermarket", "receipt-restaurant", "receipt-taxi", "receipt-train-ticket"),
    *("sign-notice", "sign-noodle-shop", "chat-dinner", "table-prices", "traditional-uniform-invoice"),
    *("traditional-tea-restaurant", "english-coffee", "card-business-card", "plain-dusk", "plain-mountains"),
)
QUERY = "发票"
REGENERATED = "receipt-taxi"
VIEWS = (("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE))


class Held:
    """An OCR engine that can be stopped in the middle of its work, where something is to be seen of it."""

    def __init__(self, engine: OcrModel) -> None:
        self._engine = engine
        self.name = engine.name
        self.alphabet = engine.alphabet
        self.going = threading.Event()
        self.going.set()

    def detect(self, picture: Picture) -> Detection:
        self.going.wait(600)
        return self._engine.detect(picture)

    def recognise(self, detections: Sequence[Detection]) -> list[list[Line]]:
        return self._engine.recognise(detections)


class Album:
    """Takes the pictures of one reader, each under a name that says what is to be seen."""

    def __init__(self, reader: Reader, folder: Path, suffix: str) -> None:
        self.reader = reader
        self.page = reader.page
        self._folder = folder
        self._suffix = suffix

    async def take(self, view: str, *, whole: bool = False) -> None:
        await self.page.screenshot(
            path=self._folder / f"{view}-{self._suffix}.png", full_page=whole, animations="disabled"
        )


async def take_all(browser: Browser, url: str, key: str, invoice: UUID, folder: Path) -> None:
    for language in ("en-GB", "zh-CN"):
        for scheme, size in VIEWS:
            suffix = f"{language[:2]}-{size['width']}-{scheme}"
            async with reading(browser, url, language=language, scheme=scheme, size=size) as reader:
                await take_views(Album(reader, folder, suffix), key, invoice)


async def take_views(album: Album, key: str, invoice: UUID) -> None:
    reader, page = album.reader, album.page
    await reader.open()
    await album.take("sign-in")
    await page.click("summary")
    await album.take("sign-in-help")
    reader.refused |= {401, 404}
    await page.fill("#key", "wrong")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#signin-error:not(:empty)")
    await album.take("sign-in-wrong")
    await reader.sign_in(key)
    await album.take("start")
    await reader.search(QUERY)
    await page.locator(".thumb.loaded").nth(3).wait_for()
    await album.take("results")
    await reader.search("ocr:没有的字")
    await album.take("nothing")
    await reader.search(QUERY)
    await page.click(f'#results a[href*="{invoice}"]')
    await page.wait_for_selector(".stage.loaded")
    await album.take("photo")
    await album.take("photo-whole", whole=True)
    for _ in range(2):
        await page.click("#zoom-in")
    await album.take("photo-close")
    await page.evaluate("document.getElementById('demo').hidden = false")
    await album.take("photo-demo")
    await reader.open(f"/console/photo/{UUID(int=0)}")
    await page.wait_for_selector("#problem > *")
    await album.take("photo-missing")
    await reader.open("/console/status?scope=all")
    await page.wait_for_selector("#failures > li")
    await album.take("status")
    await album.take("status-whole", whole=True)


async def take_regenerated(browser: Browser, url: str, key: str, asset: UUID, preview: Path, folder: Path) -> None:
    """The preview changes behind everybody's back, so that reading it again finds something else."""
    views = ("en-GB", "light", DESK), ("zh-CN", "dark", DESK), ("zh-CN", "light", PHONE)
    for number, (language, scheme, size) in enumerate(views):
        covered = (0.0, 0.6, 1.0, 0.8) if number % 2 == 0 else None
        changed = await asyncio.to_thread(draw, REGENERATED, without=covered)
        await asyncio.to_thread(preview.write_bytes, changed)
        async with reading(browser, url, language=language, scheme=scheme, size=size) as reader:
            album = Album(reader, folder, f"{language[:2]}-{size['width']}-{scheme}")
            await reader.open()
            await reader.sign_in(key)
            await reader.look_at(asset, quote(QUERY))
            await reader.page.click("[data-task=ocr]")
            await reader.page.wait_for_selector("#compare:not([hidden])")
            await album.take("regenerated", whole=True)


async def show(settings: Settings, media: Path, folder: Path) -> None:
    models = await asyncio.to_thread(load_models, settings)
    assert models.ocr is not None
    held = Held(models.ocr)
    async with library(settings, media) as (immich, connection):
        owner = await immich.create_user("小安", admin=True)
        key = await immich.create_key(owner)
        async with working(settings, Models(models.clip, held, models.device)):
            photos = {name: await upload(immich, owner, name, days) for days, name in enumerate(NAMES)}
            await immich.upload(b"\xff\xd8\xff\xe0 torn", owner=owner, file_name="IMG_2041.jpg")
            await idle(connection, 600)
            async with (
                console_of(immich, settings, await asyncio.to_thread(gateway_models.load, settings)) as url,
                browsing() as browser,
            ):
                held.going.clear()
                for name in NAMES[:5]:
                    await upload(immich, owner, name, 0)
                await eventually(
                    lambda: connection.fetchval("SELECT count(*) > 0 FROM immich_indexer.job WHERE NOT dead")
                )
                await take_all(browser, url, key, photos["receipt-invoice"], folder)
                held.going.set()
                await idle(connection, 600)
                asset = photos[REGENERATED]
                await take_regenerated(browser, url, key, asset, await preview_of(immich, connection, asset), folder)


@contextlib.asynccontextmanager
async def library(settings: Settings, media: Path) -> AsyncIterator[tuple[StandIn, asyncpg.Connection]]:
    async with asyncpg.create_pool(settings.dsn, min_size=1, max_size=6) as pool, pool.acquire() as connection:
        immich = StandIn(pool, media)
        await immich.install()
        await install(settings.dsn)
        yield immich, connection


async def upload(immich: StandIn, owner: UUID, name: str, days: int) -> UUID:
    preview = await asyncio.to_thread(draw, name)
    taken = datetime(2026, 5, 20, 18, 30, tzinfo=UTC) - timedelta(days=9 * days)
    return await immich.upload(preview, owner=owner, file_name=f"{name}.jpg", taken_at=taken)


def draw(name: str, *, without: tuple[float, float, float, float] | None = None) -> bytes:
    """A scene as JPEG, a part of it (left, top, right, bottom as shares) covered where one is named."""
    image = next(scene for scene in SCENES if scene.name == name).draw().image
    if without is not None:
        left, top, right, bottom = without
        sides = image.width, image.height
        place = round(left * sides[0]), round(top * sides[1])
        covered = round((right - left) * sides[0]), round((bottom - top) * sides[1])
        image.paste(Image.new("RGB", covered, "#e9e6df"), place)
    with tempfile.SpooledTemporaryFile() as file:
        image.save(file, "JPEG", quality=85)
        file.seek(0)
        return file.read()


async def preview_of(immich: StandIn, connection: asyncpg.Connection, asset: UUID) -> Path:
    path = await connection.fetchval('SELECT path FROM asset_file WHERE "assetId" = $1 AND type = $2', asset, "preview")
    return immich.media.on_disk(path)


def main() -> None:
    if chromium() is None:
        sys.exit(NO_BROWSER)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    logs.configure("warning", "auto")
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(settings=THROWAWAY) as server:
        work = Path(name)
        checkpoint = work / "own.pt"
        write_random_checkpoint(checkpoint, small_config(), note=None)  # as with a model of photographs
        settings = settings_for(
            server.url(), work / "media", clip_model=str(checkpoint), max_attempts=2, lease_seconds=60
        )
        asyncio.run(show(settings, work / "media", folder))
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}/")  # noqa: T201 - for who called make


if __name__ == "__main__":
    main()
