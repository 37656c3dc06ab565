"""The console to test with: a browser that looks at a gateway's pages, and what it complains of."""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pylopdf_fonts_zh_cn
from aiohttp.test_utils import TestServer
from axe_playwright_python.async_playwright import Axe
from PIL import Image, ImageDraw, ImageFont
from playwright.async_api import Browser, ConsoleMessage, Dialog, Error, Locator, Page, async_playwright, expect

from gateway.models import LazyModels
from indexer.demo.api import Api
from indexer.demo.immich import StandIn
from indexer.settings import Settings
from tests.support.gateways import serving

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NO_BROWSER = "needs Chromium: `apt-get install chromium`, or CHROMIUM=/where/it/is"

PATIENCE = 60_000  # milliseconds until what is expected of a page counts as missing

expect.set_options(timeout=PATIENCE)

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SCHEMES = ("light", "dark")
Corners = tuple[float, float, float, float]


def chromium() -> str | None:
    """The browser on this machine, or that of the environment variable CHROMIUM."""
    if named := os.environ.get("CHROMIUM"):
        return named
    names = "chromium", "chromium-browser", "google-chrome-stable", "google-chrome"
    return next(filter(None, map(shutil.which, names)), None)


_FONTS = """<?xml version="1.0"?>
<fontconfig><include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>{folder}</dir></fontconfig>
"""


@contextlib.asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A browser of its own, without windows, that has Chinese letters on any machine."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as fonts:
        fonts.write(_FONTS.format(folder=pylopdf_fonts_zh_cn.sans_path().parent))
        fonts.flush()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium(), args=list(ARGUMENTS), env=os.environ | {"FONTCONFIG_FILE": fonts.name}
            )
            try:
                yield browser
            finally:
                await browser.close()


@contextlib.asynccontextmanager
async def console_of(immich: StandIn, settings: Settings, models: LazyModels | None = None) -> AsyncIterator[str]:
    """A gateway whose users are this Immich's; gives its address."""
    async with TestServer(Api(immich.database, immich.media).application()) as api:
        known = settings.model_copy(update={"immich_url": str(api.make_url("/"))})
        async with serving(known, models) as client:
            yield f"http://127.0.0.1:{client.port}"


@dataclass
class Reader:
    """Somebody at the console. `complaints` is what their browser did not like: nothing, in the end."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)  # statuses that are part of the story

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        expected = any(f"status of {status} " in message.text for status in self.refused)
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(message.text)

    async def _asked(self, dialog: Dialog) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        await dialog.dismiss()

    async def open(self, path: str = "/console") -> None:
        await self.page.goto(self.url + path)

    async def sign_in(self, key: str) -> None:
        await self.page.fill("#key", key)
        await self.page.click("#signin-form button")
        await self.page.wait_for_selector("#content:not([hidden])")

    async def search(self, text: str) -> None:
        await self.page.fill("#q", text)
        await self.page.press("#q", "Enter")
        await self.page.wait_for_selector("#results:not([aria-busy]) > li, #nothing:not([hidden])")

    async def look_at(self, asset: UUID, q: str = "") -> None:
        """Opens a photo's page and waits for the picture with its boxes."""
        await self.open(f"/console/photo/{asset}" + (f"?q={q}" if q else ""))
        await self.page.wait_for_selector(".stage.loaded")

    async def box_of(self, text: str) -> Corners:
        """Left, top, right and bottom of the box drawn around a line, as shares of the picture that is shown."""
        line = await self.line(text).get_attribute("data-line")
        outline = await self.page.locator(f'#boxes [data-line="{line}"]').bounding_box()
        picture = await self.page.locator("#picture").bounding_box()
        assert outline is not None
        assert picture is not None
        left, top = outline["x"] - picture["x"], outline["y"] - picture["y"]
        right, bottom = left + outline["width"], top + outline["height"]
        return left / picture["width"], top / picture["height"], right / picture["width"], bottom / picture["height"]

    async def touch(self, *moves: Sequence[tuple[float, float]]) -> None:
        """Fingers on the glass: where each of them is, move by move, and then they are lifted."""
        session = await self.page.context.new_cdp_session(self.page)
        for number, fingers in enumerate([*moves, ()]):
            kind = "touchEnd" if not fingers else "touchMove" if number else "touchStart"
            points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(fingers)]
            await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        await session.detach()

    def line(self, text: str) -> Locator:
        """The line in the list beside the picture."""
        return self.page.locator("#lines > li", has_text=text)

    async def faults(self) -> list[str]:
        """What axe-core calls serious or critical about the page as it is now, in light and in dark."""
        faults = []
        for scheme in SCHEMES:
            await self.page.emulate_media(color_scheme=scheme)
            results = await Axe().run(self.page)
            found: list[dict[str, Any]] = results.response["violations"]
            faults += [
                f"{scheme}: {fault['id']}: {fault['help']}: {[node['target'] for node in fault['nodes']]}"
                for fault in found
                if fault["impact"] in ("serious", "critical")
            ]
        return faults


@contextlib.asynccontextmanager
async def reading(
    browser: Browser,
    url: str,
    *,
    language: str = "en-GB",
    scheme: str = "light",
    size: dict[str, int] = DESK,
) -> AsyncIterator[Reader]:
    """Somebody with a browser profile of their own. Fails where their browser complained."""
    context = await browser.new_context(
        locale=language, color_scheme=scheme, viewport=size, reduced_motion="reduce", has_touch=size == PHONE
    )
    context.set_default_timeout(PATIENCE)
    try:
        reader = Reader(await context.new_page(), url)
        yield reader
        assert not reader.complaints
    finally:
        with contextlib.suppress(Error):
            await context.close()


def drawn(*lines: str, width: int = 1200, height: int = 900, size: int = 44) -> tuple[bytes, dict[str, Corners]]:
    """A picture as JPEG, and where each of its lines is: left, top, right, bottom as shares of its sides."""
    image = Image.new("RGB", (width, height), "#f6f1e4")
    pen = ImageDraw.Draw(image)
    font = ImageFont.truetype(str(pylopdf_fonts_zh_cn.sans_path()), size)
    truth = {}
    for number, line in enumerate(lines):
        place = (80 + 70 * (number % 3), 80 + 110 * number)
        left, top, right, bottom = pen.textbbox(place, line, font=font)
        pen.text(place, line, font=font, fill="#20202c")
        truth[line] = (left / width, top / height, right / width, bottom / height)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue(), truth
