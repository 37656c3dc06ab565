"""The console in a real browser, on a real gateway, database, indexer and OCR engine."""

import asyncio
import contextlib
import hashlib
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from playwright.async_api import Browser, expect

from indexer.demo.immich import StandIn
from indexer.models.clip.names import name_of
from indexer.models.fetcher import Fetcher, Pace
from indexer.models.files.published import PublishedFile
from indexer.models.model_files import ModelFiles
from indexer.models.ocr.ocr import Ocr, load_ocr
from indexer.work.worker import Models
from tests.support import console
from tests.support.console import DESK, PHONE, Reader, browsing, console_of, drawn, reading
from tests.support.gateways import StubText, stub_models
from tests.support.hosts import QUICK, hosted_clip, hosted_text
from tests.support.installs import install
from tests.support.sources import host as serve
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import eventually, idle, settings_for, working

pytestmark = [
    pytest.mark.skipif(console.chromium() is None, reason=console.NO_BROWSER),
    pytest.mark.timeout(300),
]

INVOICE = ("增值税专用发票", "No 62580417", "合计88.00元", "开票日期2024年5月1日")
NOTICE = ("停车场入口", "限高2.1米")
Photo = Callable[..., Awaitable[UUID]]


@pytest.fixture(scope="module")
def ocr() -> Ocr:
    return load_ocr(threads=2)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as browser:
        yield browser


@pytest.fixture
async def installed(database: str) -> str:
    await install(database)
    return database


@pytest.fixture
def settings(installed: str, tmp_path: Path):
    return settings_for(installed, tmp_path / "media", max_attempts=2)


@pytest.fixture
async def url(settings, immich: StandIn) -> AsyncIterator[str]:
    async with console_of(immich, settings) as url:
        yield url


@pytest.fixture
async def indexer(settings, ocr: Ocr) -> AsyncIterator[None]:
    async with working(settings, Models(StubClip(), ocr, "cpu")):
        yield


@pytest.fixture
def photo(immich: StandIn, owner: UUID, connection: asyncpg.Connection) -> Photo:
    """Uploads a picture with these lines and waits until it has been read."""

    async def photo(*lines: str, name: str = "IMG_0001.jpg", owner: UUID = owner) -> UUID:
        asset = await immich.upload(drawn(*lines)[0], owner=owner, file_name=name)
        await idle(connection)
        return asset

    return photo


@pytest.fixture
async def key(immich: StandIn, owner: UUID) -> str:
    return await immich.create_key(owner)


@contextlib.asynccontextmanager
async def signed_in(browser: Browser, url: str, key: str, **options) -> AsyncIterator[Reader]:
    async with reading(browser, url, **options) as reader:
        await reader.open()
        await reader.sign_in(key)
        yield reader


async def preview_of(connection: asyncpg.Connection, asset: UUID) -> str:
    return await connection.fetchval(
        'SELECT path FROM asset_file WHERE "assetId" = $1 AND type = $2 AND NOT "isEdited"', asset, "preview"
    )


async def stay(reader: Reader) -> None:
    """Leaves a mark that a reload would wipe out."""
    await reader.page.evaluate("window.stayed = true")


async def stayed(reader: Reader) -> bool:
    return await reader.page.evaluate("window.stayed === true")


# Signing in


@pytest.mark.parametrize(
    ("language", "wrong", "empty", "tips"),
    [
        ("en-GB", "Immich does not know this API key", "Paste your API key first", "What you can type"),
        ("zh-CN", "Immich 不认识这个 API 密钥", "请先粘贴 API 密钥", "可以这样输入"),
    ],
)
async def test_signing_in_and_out(browser, url, key, language, wrong, empty, tips):
    async with reading(browser, url, language=language) as reader:
        page = reader.page
        await reader.open()
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN" if language == "zh-CN" else "en")
        await expect(page.locator("#key")).to_be_focused()
        await expect(page.locator("#content")).to_be_hidden()
        await page.keyboard.press("Enter")
        await expect(page.locator("#signin-error")).to_contain_text(empty)
        reader.refused.add(401)
        await page.fill("#key", "no-such-key")
        await page.keyboard.press("Enter")
        await expect(page.locator("#signin-error")).to_contain_text(wrong)
        await expect(page.locator("#key")).to_have_attribute("aria-invalid", "true")
        assert await page.evaluate("sessionStorage.length") == 0
        await page.fill("#key", f" {key} ")
        await page.keyboard.press("Enter")
        await expect(page.locator("#tips")).to_contain_text(tips)
        await expect(page.locator("#who")).to_have_text("ann")
        assert key in await page.evaluate("JSON.stringify(sessionStorage)")
        assert await page.evaluate("localStorage.length") == 0
        assert key not in str(await page.context.cookies())
        await reader.open("/console/status")
        await expect(page.locator("#status")).to_be_visible()
        await page.click("#sign-out")
        await expect(page.locator("#signin")).to_be_visible()
        assert await page.evaluate("sessionStorage.length") == 0


async def test_a_key_that_may_not_search_is_told_what_it_lacks(browser, url, immich, owner):
    async with reading(browser, url) as reader:
        await reader.open()
        for permissions, lacking in ((["user.read"], "asset.read"), (["asset.read"], "user.read")):
            reader.refused.add(403)
            await reader.page.fill("#key", await immich.create_key(owner, *permissions))
            await reader.page.keyboard.press("Enter")
            await expect(reader.page.locator("#signin-error")).to_contain_text(lacking)


async def test_a_key_that_was_revoked_asks_for_another(browser, url, immich, owner, key):
    async with signed_in(browser, url, key) as reader:
        old = await immich.create_key(owner)
        await immich.revoke_key(old)
        reader.refused.add(401)
        await reader.page.evaluate("key => sessionStorage.setItem('immich-api-key', key)", old)
        await reader.open("/console/status")
        await expect(reader.page.locator("#signin-error")).to_contain_text("Immich does not know this API key")
        await reader.sign_in(key)
        await expect(reader.page.locator("#status")).to_be_visible()


async def test_the_language_is_that_of_the_browser_until_another_is_chosen(browser, url, key):
    async with signed_in(browser, url, key, language="fr-FR") as reader:
        await expect(reader.page.locator("html")).to_have_attribute("lang", "en")
        await reader.open("/console?q=%E7%A5%A8")
        await reader.page.click("[data-lang=zh-CN]")
        await expect(reader.page.locator("html")).to_have_attribute("lang", "zh-CN")
        await expect(reader.page.locator("#q")).to_have_value("票")
        await reader.open("/console/status")
        await expect(reader.page.locator("h1:visible")).to_have_text("状态")


# Searching and looking


@pytest.mark.parametrize(
    ("language", "size", "said", "matched"),
    [
        ("en-GB", DESK, "1 photo says “发票”.", "1 line matches “发票”"),
        ("zh-CN", PHONE, "1 张照片上写有“发票”。", "1 行与“发票”相符"),
    ],
)
async def test_search_and_see_where_the_words_are(browser, url, key, indexer, photo, language, size, said, matched):
    invoice, notice = await photo(*INVOICE, name="invoice.jpg"), await photo(*NOTICE, name="notice.jpg")
    async with signed_in(browser, url, key, language=language, size=size) as reader:
        page = reader.page
        await reader.search("发票")
        await expect(page.locator("#summary")).to_contain_text(said)
        found = page.locator("#results > li")
        await expect(found).to_have_count(2)
        await expect(found.first.locator("mark")).to_have_text("发票")
        await expect(found.first.locator("time")).to_contain_text(str(datetime.now(UTC).year))
        await expect(found.last.locator("mark")).to_have_count(0)
        await expect(page.locator(".thumb.loaded")).to_have_count(2)
        assert f"/console/photo/{notice}" in (await found.last.locator("a").get_attribute("href") or "")

        await found.first.locator("a").click()
        await page.wait_for_selector(".stage.loaded")
        assert f"/console/photo/{invoice}" in page.url
        await expect(page.locator("h1:visible")).to_have_text("invoice.jpg")
        await expect(page.locator("#lines > li")).to_have_count(len(INVOICE))
        for text, truth in drawn(*INVOICE)[1].items():
            assert await reader.box_of(text.split()[-1]) == pytest.approx(truth, abs=0.02), text
        await expect(page.locator("#boxes .matched")).to_have_count(1)
        assert await reader.line("发票").get_attribute("class") == "matched"
        await expect(page.locator("#lines mark")).to_have_text("发票")
        await expect(page.locator("#count")).to_have_text(matched)

        await page.click("#back")
        await expect(page.locator("#q")).to_have_value("发票")
        await expect(page.locator("#results > li")).to_have_count(2)


async def test_text_can_be_selected_in_the_picture_and_beside_it(browser, url, key, indexer, photo):
    invoice = await photo(*INVOICE)
    async with signed_in(browser, url, key) as reader:
        await reader.look_at(invoice)
        number = await reader.line("62580417").get_attribute("data-line")
        for place in (f'#layer [data-line="{number}"]', f'#lines [data-line="{number}"] span'):
            box = await reader.page.locator(place).bounding_box()
            assert box is not None
            middle = box["y"] + box["height"] / 2
            await reader.page.mouse.move(box["x"] + 1, middle)
            await reader.page.mouse.down()
            await reader.page.mouse.move(box["x"] + box["width"] - 1, middle, steps=5)
            await reader.page.mouse.up()
            assert "62580417" in await reader.page.evaluate("getSelection().toString()"), place


async def test_the_text_over_the_picture_covers_its_box(browser, url, key, indexer, photo):
    invoice = await photo(*INVOICE)
    async with signed_in(browser, url, key, size=PHONE) as reader:
        await reader.look_at(invoice)
        await reader.page.set_viewport_size({"width": 800, "height": 900})  # it follows the picture's size
        for number in range(len(INVOICE)):
            outline = await reader.page.locator(f'#boxes [data-line="{number}"]').bounding_box()
            text = await reader.page.locator(f'#layer [data-line="{number}"]').bounding_box()
            assert outline is not None
            assert text is not None
            for side in ("x", "y", "width", "height"):
                assert text[side] == pytest.approx(outline[side], abs=8), side


async def test_with_the_keyboard_alone(browser, url, key, indexer, photo):
    await photo(*INVOICE)
    async with signed_in(browser, url, key) as reader:
        page = reader.page
        await expect(page.locator("#q")).to_be_focused()
        await page.keyboard.type("62580")
        await page.keyboard.press("Enter")
        await page.locator("#results a").wait_for()
        for _ in range(20):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.closest('#results') !== null"):
                break
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".stage.loaded")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
        await reader.line("62580417").locator("button").focus()
        await page.keyboard.press("Space")
        await expect(page.locator("#boxes .pointed")).to_have_count(1)
        await page.keyboard.press("Space")
        await expect(page.locator("#boxes .pointed")).to_have_count(0)


async def test_words_alone_meaning_alone_and_nothing(browser, url, key, indexer, photo):
    await photo(*INVOICE)
    async with signed_in(browser, url, key) as reader:
        page = reader.page
        await reader.search("ocr:停车场")
        await expect(page.locator("#summary")).to_have_text("No photo says “停车场”")
        await expect(page.locator("[name=mode][value=ocr]")).to_be_checked()
        await page.click("#nothing a >> nth=0")  # by what it shows
        await expect(page.locator("#results > li")).to_have_count(1)
        await expect(page.locator("[name=mode][value=clip]")).to_be_checked()
        await reader.page.locator("label", has_text="Words and meaning").click()
        await expect(page.locator("#summary")).to_contain_text("These look most like it")
        await page.go_back()
        await expect(page.locator("[name=mode][value=clip]")).to_be_checked()
        reader.refused.add(400)
        await page.fill("#q", "ocr:-餐饮")
        await page.press("#q", "Enter")
        await expect(page.locator("#problem")).to_contain_text("That cannot be searched for")
        await expect(page.locator("#problem")).to_contain_text("say what to look for")


async def test_the_control_shows_how_what_is_typed_is_searched_for(browser, url, key, indexer, photo):
    await photo(*INVOICE)
    async with signed_in(browser, url, key) as reader:
        page = reader.page
        words, both = page.locator("[name=mode][value=ocr]"), page.locator("[name=mode][value=hybrid]")
        await page.fill("#q", "OCR：发")
        await expect(words).to_be_checked()
        await page.fill("#q", "发")
        await expect(both).to_be_checked()
        await reader.search("ocr:发票")
        await expect(words).to_be_checked()
        await expect(page.locator("#summary")).to_contain_text("1 photo says")
        await reader.search("停车场")
        await expect(both).to_be_checked()
        await expect(page.locator("#summary")).to_contain_text("These look most like it")
        await page.locator("label", has_text="Meaning alone").click()
        await page.fill("#q", "ocr:发票")
        await expect(words).to_be_checked()
        await page.fill("#q", "发票")
        await expect(page.locator("[name=mode][value=clip]")).to_be_checked()


@pytest.fixture
async def fifty(connection, immich, owner, installed) -> None:
    """More photos than a page of results shows; all are found by meaning."""
    picture, _ = drawn("x")
    for number in range(50):
        asset = await immich.upload(picture, owner=owner, file_name=f"{number}.jpg")
        await connection.execute(
            "INSERT INTO immich_indexer.photo (asset_id, preview_updated_at, digest, ocr_model, lines, text)"
            " VALUES ($1, now(), '', 'stub ocr', '[]', '')",
            asset,
        )
    vector = "[" + ",".join(["0.1"] * 512) + "]"
    await connection.execute("INSERT INTO smart_search SELECT id, $1::text::vector FROM asset", vector)
    await connection.execute(
        "UPDATE immich_indexer.photo SET clip_model = 'stub clip', clip = $1::text::halfvec", vector
    )


async def test_more_than_a_page_of_results(browser, url, key, fifty):
    async with signed_in(browser, url, key) as reader:
        await reader.search("日落")
        await expect(reader.page.locator("#results > li")).to_have_count(48)
        await reader.page.click("#more")
        await expect(reader.page.locator("#results > li")).to_have_count(50)
        await expect(reader.page.locator("#more")).to_be_hidden()
        await expect(reader.page.locator("#results > li:nth-child(49) a")).to_be_focused()
        await expect(reader.page.locator("#said")).to_have_text("2 more photos.")
        await expect(reader.page.locator("#summary")).to_contain_text("No photo says “日落”")


@pytest.mark.parametrize(("language", "size", "place"), [("en-GB", DESK, "47 of 48"), ("zh-CN", PHONE, "第 47 张")])
async def test_from_photo_to_photo_and_back_to_the_place(browser, url, key, fifty, language, size, place):
    async with signed_in(browser, url, key, language=language, size=size) as reader:
        page = reader.page
        await reader.search("日落")
        names = await page.locator("#results .name").all_inner_texts()
        await page.locator("#results a").nth(46).click()
        await page.wait_for_selector(".stage.loaded")
        await expect(page.locator("#place")).to_contain_text(place)
        await stay(reader)
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("h1:visible")).to_have_text(names[47])
        await page.click("#next")  # of which the search page knew nothing
        await expect(page.locator("#place")).to_contain_text("49")
        await expect(page.locator("#said")).to_contain_text("49")
        last = await page.locator("h1:visible").inner_text()
        assert last not in names
        assert last in await page.locator("#said").inner_text()
        await expect(page.locator("#next")).to_be_focused()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("#place")).to_contain_text("50")
        await expect(page.locator("#next")).to_have_attribute("aria-disabled", "true")
        await page.keyboard.press("ArrowLeft")
        await expect(page.locator("h1:visible")).to_have_text(last)
        assert await stayed(reader), "no page was loaded for it"

        await page.keyboard.press("Escape")
        await expect(page.locator("#results > li")).to_have_count(50)
        looked = page.locator("#results > li:nth-child(49) a")
        await expect(looked).to_be_focused()
        await expect(looked).to_be_in_viewport()

        await page.evaluate("window.scrollTo(0, 700)")
        await page.locator("#results a").nth(8).click()
        await page.wait_for_selector(".stage.loaded")
        await page.click("#back")
        await expect(page.locator("#results > li")).to_have_count(50)
        await page.wait_for_function("window.scrollY > 500 && window.scrollY < 900")
        await page.click("#sign-out")
        assert await page.evaluate("sessionStorage.length") == 0


async def test_a_photo_that_was_not_searched_for_has_no_next(browser, url, key, fifty, connection):
    asset = await connection.fetchval("SELECT id FROM asset LIMIT 1")
    async with signed_in(browser, url, key) as reader:
        await reader.look_at(asset, "日落")
        await expect(reader.page.locator("#walk")).to_be_hidden()
        await reader.page.keyboard.press("ArrowRight")
        assert str(asset) in reader.page.url


async def test_a_photo_close_up(browser, url, key, indexer, photo):
    await photo(*INVOICE, name="a.jpg")
    async with signed_in(browser, url, key) as reader:
        page = reader.page
        await reader.search("发票")
        await page.locator("#results a").first.click()
        await page.wait_for_selector(".stage.loaded")
        whole = await width_of(reader)
        await page.click("#zoom-in")
        await expect(page.locator("#zoom")).to_have_text("Zoomed to 150%")
        assert await width_of(reader) == pytest.approx(1.5 * whole, rel=0.01)
        for text, truth in drawn(*INVOICE)[1].items():
            assert await reader.box_of(text.split()[-1]) == pytest.approx(truth, abs=0.02), text
        number = await reader.line("62580417").get_attribute("data-line")
        outline = await page.locator(f'#boxes [data-line="{number}"]').bounding_box()
        text = await page.locator(f'#layer [data-line="{number}"]').bounding_box()
        assert outline is not None
        assert text is not None
        for side in ("x", "y", "width", "height"):
            assert text[side] == pytest.approx(outline[side], abs=8), side

        await page.locator("#stage").focus()
        await page.keyboard.press("+")
        assert await width_of(reader) == pytest.approx(2.25 * whole, rel=0.01)
        await page.keyboard.press("Escape")
        assert await width_of(reader) == pytest.approx(whole, rel=0.01)
        await page.locator("#stage").dblclick(position={"x": 5, "y": 5})
        assert await width_of(reader) == pytest.approx(2.5 * whole, rel=0.01)
        await page.keyboard.press("0")
        assert await width_of(reader) == pytest.approx(whole, rel=0.01)
        await expect(page.locator("#zoom-out")).to_have_attribute("aria-disabled", "true")
        await page.keyboard.press("Escape")
        await expect(page.locator("#results > li")).to_have_count(1)


async def width_of(reader: Reader) -> float:
    box = await reader.page.locator("#picture").bounding_box()
    assert box is not None
    return box["width"]


async def test_with_fingers(browser, url, key, indexer, photo):
    await photo(*INVOICE, name="first.jpg")
    await photo(*INVOICE, name="second.jpg")
    async with signed_in(browser, url, key, size=PHONE) as reader:
        page = reader.page
        await reader.search("ocr:发票")
        await page.locator("#results a").first.click()
        await page.wait_for_selector(".stage.loaded")
        first = await page.locator("h1:visible").inner_text()
        stage = await page.locator("#stage").bounding_box()
        assert stage is not None
        x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
        whole = await width_of(reader)
        await reader.touch([(x - 30, y), (x + 30, y)], [(x - 45, y), (x + 45, y)], [(x - 60, y), (x + 60, y)])
        assert await width_of(reader) == pytest.approx(2 * whole, rel=0.05)
        await reader.touch([(x - 60, y), (x + 60, y)], [(x - 20, y), (x + 20, y)])
        assert await width_of(reader) == pytest.approx(whole, rel=0.05)
        await reader.touch([(x + 90, y)], [(x, y + 4)], [(x - 90, y + 8)])
        await expect(page.locator("h1:visible")).not_to_have_text(first)
        await page.wait_for_selector(".stage.loaded")
        await reader.touch([(x - 90, y)], [(x, y + 4)], [(x + 90, y + 8)])
        await expect(page.locator("h1:visible")).to_have_text(first)


@pytest.mark.parametrize(("language", "said"), [("en-GB", "A demo model is at work"), ("zh-CN", "演示模型")])
async def test_a_demo_model_is_told_of_on_every_page(browser, settings, immich, key, photo, indexer, language, said):
    asset = await photo(*INVOICE)
    models, _ = stub_models(text=StubText(name_of("cn-clip", "small", "0123456789abcdef", demo=True)))
    async with console_of(immich, settings, models) as url, signed_in(browser, url, key, language=language) as reader:
        for path in ("/console", "/console/status", f"/console/photo/{asset}"):
            await reader.open(path)
            await expect(reader.page.locator("#demo")).to_contain_text(said)


@pytest.mark.parametrize(
    ("language", "missing", "coming", "said", "refused"),
    [
        (
            "en-GB",
            "ViT-B-16, which searches by meaning, is not here yet",
            "of 2 MB fetched, now from",
            "alone",
            "cannot",
        ),
        ("zh-CN", "按画面搜索的模型 ViT-B-16 还没有到位", "已下载 2 MB 中的", "只按文字找到", "目前无法回答"),
    ],
)
async def test_weights_on_their_way(
    browser,
    settings,
    ocr,
    immich,
    owner,
    key,
    connection,
    tmp_path,
    language,
    missing,
    coming,
    said,
    refused,
):
    content = b"weights " * 250_000
    with serve({"/small.pt": content}) as host:
        host.hold.clear()  # half of it comes
        file = PublishedFile(
            tmp_path / "small.pt", len(content), hashlib.sha256(content).hexdigest(), (f"{host.address}/small.pt",)
        )
        fetcher = Fetcher([ModelFiles("clip", "ViT-B-16", (file,))], pace=Pace(look=0.05, silence=120))
        text = hosted_text(StubText(), wanting=lambda: fetcher.missing("clip"))
        clip = hosted_clip(StubClip(), wanting=lambda: fetcher.missing("clip"))
        for model in (text, clip):
            fetcher.watch(model.engine.wake)
        text.engine.start()
        async with (
            working(settings, Models(clip, ocr), fetcher),
            console_of(immich, settings, replace(stub_models()[0], text=text)) as url,
            signed_in(browser, url, key, language=language) as reader,
        ):
            page = reader.page
            await immich.upload(drawn(*INVOICE)[0], owner=owner)
            await eventually(lambda: connection.fetchval("SELECT count(*) FROM immich_indexer.photo WHERE text <> ''"))
            await reader.open("/console/status")
            await expect(page.locator("#weights")).to_contain_text(missing)
            await expect(page.locator("#weights")).to_contain_text(coming)
            await expect(page.locator("#engines")).to_be_hidden()  # nothing is sick
            await expect(page.locator("#indexed")).to_have_text("0")
            await reader.open("/console")
            await reader.search("发票")
            await expect(page.locator("#results > li")).to_have_count(1)
            await expect(page.locator("#summary")).to_contain_text(said)
            reader.refused.add(503)
            await page.click("label:has([value=clip])")
            await expect(page.locator("#problem")).to_contain_text(refused)
            host.hold.set()
            await reader.open("/console/status")
            await expect(page.locator("#weights")).to_be_empty()
            await expect(page.locator("#indexed")).to_have_text("1")
            await reader.open("/console")
            await reader.search("发票")
            await expect(page.locator("#results > li")).to_have_count(1)
            await expect(page.locator("#summary")).not_to_contain_text(said)


@pytest.mark.parametrize(
    ("language", "sick", "advice"),
    [
        (
            "en-GB",
            r"The CLIP model fell sick .+; 1 photo waits for it\.",
            "Nothing is lost: it is tried again by itself",
        ),
        ("zh-CN", r"CLIP 模型在.+出了故障；有 1 张照片在等它。", "什么都不会丢失：它会自动重试"),
    ],
)
async def test_a_sick_model_has_a_banner_for_as_long_as_it_is_sick(
    browser, settings, immich, owner, key, connection, language, sick, advice
):
    broken = threading.Event()

    def fail() -> None:
        if broken.is_set():
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    clip = hosted_clip(StubClip(before=fail), pace=replace(QUICK, first=600, longest=600))
    async with (
        working(settings, Models(clip, StubOcr(), "cpu")),
        console_of(immich, settings) as url,
        signed_in(browser, url, key, language=language) as reader,
    ):
        page = reader.page
        banner = page.locator("#engines")
        await reader.open("/console/status")
        await expect(page.locator("#status")).to_be_visible()
        await expect(banner).to_be_hidden()
        broken.set()
        await immich.upload(drawn(*INVOICE)[0], owner=owner)
        await expect(banner).to_be_visible()
        await expect(banner).to_contain_text(re.compile(sick))
        await expect(banner).to_contain_text("CUDA error: an illegal memory access was encountered")
        await expect(banner).to_contain_text(advice)
        assert await banner.get_attribute("role") == "alert"
        assert not await reader.faults()
        broken.clear()
        clip.engine.wake()
        await expect(page.locator("#indexed")).to_have_text("1")
        await expect(banner).to_be_hidden()


async def test_no_other_model_is_called_one(browser, url, key):
    async with signed_in(browser, url, key) as reader:
        await reader.open("/console/status")
        await expect(reader.page.locator("#status")).to_be_visible()
        await expect(reader.page.locator("#demo")).to_be_hidden()


async def test_a_photo_that_is_not_there_or_not_theirs(browser, url, key, indexer, photo, immich):
    stranger = await immich.create_user("eve")
    secret = await photo("秘密文件", owner=stranger)
    async with signed_in(browser, url, key) as reader:
        reader.refused |= {400, 404}
        for asset in (secret, uuid4()):
            await reader.open(f"/console/photo/{asset}")
            await expect(reader.page.locator("#problem")).to_contain_text("There is no such photo")
            await expect(reader.page.locator("#photo")).to_be_hidden()
        await reader.open()
        await reader.search("ocr:秘密文件")
        await expect(reader.page.locator("#results > li")).to_have_count(0)


async def test_text_from_photos_and_names_is_only_text(browser, url, key, indexer, photo):
    evil = "<script>alert(1)</script>"
    name = "<img src=x onerror=alert(2)>.jpg"
    asset = await photo(evil, "第二行", name=name)
    async with signed_in(browser, url, key) as reader:
        await reader.search("alert")
        await expect(reader.page.locator("#results .said")).to_contain_text(evil)
        await expect(reader.page.locator("#results .name")).to_have_text(name)
        await reader.look_at(asset, "script")
        await expect(reader.line("alert")).to_contain_text(evil)
        await expect(reader.page.locator("#layer")).to_contain_text(evil)
        await expect(reader.page.locator("h1:visible")).to_have_text(name)
        await reader.page.click("[data-task=ocr]")
        await expect(reader.page.locator("#compare")).to_contain_text(evil)
        assert await reader.page.locator("main script, main img[src=x]").count() == 0


# One photo again


async def test_regenerate_and_see_old_next_to_new(browser, url, key, indexer, photo, connection, immich):
    asset = await photo(*INVOICE)
    async with signed_in(browser, url, key) as reader:
        page = reader.page
        await reader.look_at(asset)
        await stay(reader)
        await page.click("[data-task=clip]")
        await expect(page.locator("#comparison p")).to_have_text("The vector is the same as before.")
        await page.click("[data-task=ocr]")
        await expect(page.locator("#comparison p")).to_have_text("The text is the same as before.")

        path = await preview_of(connection, asset)
        immich.media.write(path, drawn("增值税普通发票", *INVOICE[1:3], "新的一行")[0])
        await page.click("[data-task=ocr]")
        await expect(page.locator("#comparison p")).to_have_text("2 lines changed.")
        await expect(page.locator("#compare")).to_be_focused()
        assert await page.locator("#comparison .gone").all_inner_texts() == ["增值税专用发票", INVOICE[3]]
        assert await page.locator("#comparison .added").all_inner_texts() == ["增值税普通发票", "新的一行"]
        await expect(page.locator("#comparison del").first).to_have_text("专用")
        await expect(page.locator("#comparison ins").first).to_have_text("普通")
        await expect(reader.line("新的一行")).to_be_visible()
        immich.media.write(path, drawn("另一张照片")[0])
        await page.click("[data-task=clip]")
        await expect(page.locator("#comparison p")).to_contain_text("similar to the old one")
        assert await stayed(reader)


@pytest.mark.parametrize("size", [DESK, PHONE])
async def test_the_result_comes_into_view(browser, url, key, indexer, photo, connection, immich, size):
    asset = await photo(*(f"第{n}行文字" for n in range(8)))
    async with signed_in(browser, url, key, size=size) as reader:
        page = reader.page
        await reader.look_at(asset)
        immich.media.write(await preview_of(connection, asset), drawn("别的一行")[0])
        await page.click("[data-task=ocr]")
        await expect(page.locator("#compare")).to_be_focused()
        await expect(page.locator("#compare-heading")).to_be_in_viewport(ratio=1)
        await expect(page.locator("#comparison > p")).to_be_in_viewport(ratio=1)
        # Whoever has gone on to something else meanwhile stays there and hears of it.
        held = asyncio.Event()

        async def hold(route):
            await held.wait()
            await route.continue_()

        await page.route("**/reprocess", hold)
        await page.locator("[data-task=clip]").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#again-state")).to_contain_text("Reading the photo again")
        await expect(page.locator("[data-task=clip]")).to_be_focused()
        await page.locator("#show-boxes").focus()
        held.set()
        await expect(page.locator("#said")).to_contain_text("Old and new: ")
        await expect(page.locator("#show-boxes")).to_be_focused()


async def test_a_key_that_may_not_update_and_a_partners_photo(browser, url, indexer, photo, immich, owner):
    asset = await photo(*INVOICE)
    friend = await immich.create_user("bob")
    shared = await photo(*NOTICE, owner=friend)
    await immich.share(friend, owner)
    limited = await immich.create_key(owner, "user.read", "asset.read", "asset.view")
    async with signed_in(browser, url, limited) as reader:
        await reader.look_at(asset)
        await expect(reader.page.locator("#again-lead")).to_contain_text("lacks the permission asset.update")
        for task in ("ocr", "clip"):
            await expect(reader.page.locator(f"[data-task={task}]")).to_be_disabled()
        await reader.look_at(shared)
        await expect(reader.line("停车场入口")).to_be_visible()
        await expect(reader.page.locator("#again-lead")).to_contain_text("This photo is a partner’s")


async def test_a_key_that_may_not_see_pictures(browser, url, indexer, photo, immich, owner):
    asset = await photo(*INVOICE)
    blind = await immich.create_key(owner, "user.read", "asset.read")
    async with signed_in(browser, url, blind) as reader:
        await reader.search("发票")
        await expect(reader.page.locator("#summary")).to_contain_text("lacks the permission asset.view")
        await reader.open(f"/console/photo/{asset}")
        await expect(reader.page.locator("#stage")).to_contain_text("lacks the permission asset.view")
        await expect(reader.line("发票")).to_be_visible()


# The status


@pytest.mark.parametrize(
    ("language", "empty", "done", "asleep"),
    [
        ("en-GB", "There are no photos yet", "Every photo has been read", "No indexer is at work"),
        ("zh-CN", "还没有照片", "所有照片都已识别", "没有索引器在工作"),
    ],
)
async def test_progress_is_live(browser, url, key, settings, ocr, immich, owner, language, empty, done, asleep):
    async with signed_in(browser, url, key, language=language) as reader:
        page = reader.page
        await reader.open("/console/status")
        await expect(page.locator("#percent")).to_contain_text(empty)
        await expect(page.locator("#asleep")).to_contain_text(asleep)
        await expect(page.locator("#live")).to_have_attribute("data-state", "live")
        await stay(reader)
        for number in range(4):
            await immich.upload(drawn(f"第{number}张")[0], owner=owner)
        await expect(page.locator("#of-total")).to_contain_text("4")
        await expect(page.locator("#indexed")).to_have_text("0")
        async with working(settings, Models(StubClip(), ocr, "cpu")):
            await expect(page.locator("#indexed")).to_have_text("4")
            await expect(page.locator("#eta")).to_contain_text(done)
            await expect(page.locator("#asleep")).to_be_hidden()
            await expect(page.locator("#said")).to_contain_text(done)
            await expect(page.locator("#tile-withText")).to_have_text("4")
            await expect(page.locator("#models tbody tr")).to_have_count(1)
            await expect(page.locator("#vector")).to_contain_text("512")
            assert await page.locator("#bar").evaluate("bar => bar.value / bar.max") == 1
        assert await stayed(reader)


@pytest.mark.parametrize(
    ("language", "again", "given_up"),
    [("en-GB", "Try again", "given up after 2 attempts"), ("zh-CN", "再试一次", "尝试 2 次后放弃")],
)
async def test_a_failure_with_its_reason_is_tried_again(
    browser, url, key, indexer, immich, owner, connection, language, again, given_up
):
    broken = await immich.upload(b"\xff\xd8\xff\xe0 no picture any more", owner=owner, file_name="torn.jpg")
    async with signed_in(browser, url, key, language=language) as reader:
        page = reader.page
        await reader.open("/console/status")
        await stay(reader)
        row = page.locator("#failures > li")
        await expect(row).to_contain_text("torn.jpg")
        await expect(row).to_contain_text(given_up)
        assert await row.locator(".reason").inner_text()
        await expect(page.locator("#tile-failed")).to_have_text("1")
        immich.media.write(await preview_of(connection, broken), drawn(*NOTICE)[0])
        await row.get_by_role("button", name=again).click()
        await expect(row).to_have_count(0)
        await expect(page.locator("#no-failures")).to_be_visible()
        await expect(page.locator("#indexed")).to_have_text("1")
        assert await stayed(reader)


async def test_a_failure_is_tried_again_on_its_own_page(browser, url, key, indexer, immich, owner, connection):
    broken = await immich.upload(b"\xff\xd8\xff\xe0 no picture any more", owner=owner, file_name="torn.jpg")
    await eventually(lambda: connection.fetchval("SELECT dead FROM immich_indexer.job WHERE asset_id = $1", broken))
    async with signed_in(browser, url, key) as reader:
        page = reader.page
        reader.refused.add(502)  # there is no picture to show yet
        await reader.open(f"/console/photo/{broken}")
        await expect(page.locator("#no-picture")).to_contain_text("cannot be shown")
        await expect(page.locator("#state")).to_contain_text("was given up")
        await expect(page.locator("#failure")).to_contain_text("after 2 attempts")
        immich.media.write(await preview_of(connection, broken), drawn(*NOTICE)[0])
        await page.get_by_role("button", name="Try again").click()
        await expect(page.locator("#failure")).to_be_hidden()
        await expect(page.locator("#stage")).to_have_class("stage loaded")
        await expect(reader.line("停车场入口")).to_be_visible()


async def test_everybodys_photos_for_an_administrator_only(browser, url, key, indexer, immich, photo):
    await photo(*INVOICE)
    boss = await immich.create_user("boss", admin=True)
    async with signed_in(browser, url, key) as reader:
        await reader.open("/console/status?scope=all")
        await expect(reader.page.locator("#indexed")).to_have_text("1")
        await expect(reader.page.locator("#scope")).to_be_hidden()
        await expect(reader.page.locator("#workers")).to_be_hidden()
    async with signed_in(browser, url, await immich.create_key(boss)) as reader:
        await reader.open("/console/status")
        await expect(reader.page.locator("#percent")).to_contain_text("There are no photos yet")
        await reader.page.locator("label", has_text="Everybody").click()
        await expect(reader.page.locator("#indexed")).to_have_text("1")
        await expect(reader.page.locator("#workers tbody tr")).to_have_count(1)
        assert reader.page.url.endswith("?scope=all")


async def test_the_page_says_that_the_connection_is_lost_and_finds_it_again(browser, url, key):
    async with signed_in(browser, url, key) as reader:
        await reader.open("/console/status")
        await expect(reader.page.locator("#live")).to_have_attribute("data-state", "live")
        await reader.page.route("**/api/status/events*", lambda route: route.abort())
        await reader.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # connects anew
        await expect(reader.page.locator("#live")).to_have_attribute("data-state", "lost")
        await expect(reader.page.locator("#live")).to_contain_text("The gateway cannot be reached")
        await expect(reader.page.locator("#said")).to_contain_text("The connection is lost")
        await reader.page.unroute("**/api/status/events*")
        await expect(reader.page.locator("#live")).to_have_attribute("data-state", "live")
        reader.complaints.remove("Failed to load resource: net::ERR_FAILED")


# For everybody


@pytest.mark.parametrize(("language", "size"), [("en-GB", DESK), ("zh-CN", PHONE)])
async def test_accessibility(browser, url, indexer, photo, immich, owner, connection, language, size):
    boss = await immich.create_user("boss", admin=True)
    key = await immich.create_key(boss)
    invoice = await photo(*INVOICE, owner=boss)
    await immich.upload(b"\xff\xd8\xff\xe0 torn", owner=boss, file_name="torn.jpg")
    await idle(connection)
    async with reading(browser, url, language=language, size=size) as reader:
        page = reader.page
        await reader.open()
        await page.click("summary")
        assert not await reader.faults()
        reader.refused.add(401)
        await page.fill("#key", "wrong")
        await page.keyboard.press("Enter")
        await expect(page.locator("#signin-error")).not_to_be_empty()
        assert not await reader.faults()
        await reader.sign_in(key)
        assert not await reader.faults()
        await reader.search("发票")
        await page.wait_for_selector(".thumb.loaded")
        assert not await reader.faults()
        await reader.search("ocr:没有的字")
        assert not await reader.faults()
        await reader.search("发票")
        await page.click("#results a >> nth=0")
        await page.wait_for_selector(".stage.loaded")
        await page.click("#lines button >> nth=0")
        await expect(page.locator("#walk")).to_be_visible()
        assert not await reader.faults()
        await page.click("#zoom-in")
        assert not await reader.faults()
        immich.media.write(await preview_of(connection, invoice), drawn("增值税普通发票")[0])
        await page.click("[data-task=ocr]")
        await page.wait_for_selector("#compare:not([hidden])")
        assert not await reader.faults()
        await reader.open("/console/status?scope=all")
        await page.wait_for_selector("#failures > li")
        assert not await reader.faults()


@pytest.mark.parametrize("path", ["/console", "/console/status", f"/console/photo/{UUID(int=1)}"])
async def test_nothing_is_wider_than_a_phone(browser, url, key, path):
    async with signed_in(browser, url, key, size=PHONE) as reader:
        reader.refused |= {400, 404}
        await reader.open(path)
        await expect(reader.page.locator("#content")).to_be_visible()
        wide = await reader.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"]


async def test_under_a_token(browser, settings, immich, key):
    guarded = type(settings).load(**settings.model_dump(exclude_unset=True) | {"gateway_token": "long-enough-token"})
    async with console_of(immich, guarded) as url, signed_in(browser, url, key) as reader:
        await reader.open("/console/status")
        await expect(reader.page.locator("#status")).to_be_visible()


# What the pages are made of


async def test_marks(browser, url):
    async with reading(browser, url) as reader:
        await reader.open()
        marked = """async ([text, query, matched]) => {
            const base = document.querySelector('script[type=module]').src;
            const { marked, pieces } = await import(new URL('marks.js', base));
            const p = document.createElement('p');
            p.append(...marked(text, pieces(query), matched));
            return p.innerHTML;
        }"""
        for text, query, matched, html in [
            ("增值税专用发票", "发票", True, "增值税专用<mark>发票</mark>"),
            ("增值税专用发票", "发票", False, "增值税专用发票"),
            ("ＮＯ１２３ no123", "ocr:no123", True, "<mark>ＮＯ１２３</mark> <mark>no123</mark>"),
            ("發票", "发票", True, "<mark>發票</mark>"),
            ("a & <b>", "b", True, "a &amp; &lt;<mark>b</mark>&gt;"),
            ("发票 餐饮", "发票 -餐饮", True, "<mark>发票</mark> 餐饮"),
            ("aaa aa", "aa", True, "<mark>aaa</mark> <mark>aa</mark>"),
            ("㍿と", "社", True, "<mark>㍿</mark>と"),
            ("𠮷野家𠮷", "野家", True, "𠮷<mark>野家</mark>𠮷"),
        ]:
            assert await reader.page.evaluate(marked, [text, query, matched]) == html


async def test_lines_are_paired(browser, url):
    async with reading(browser, url) as reader:
        await reader.open()
        aligned = """async ([old, now]) => {
            const base = document.querySelector('script[type=module]').src;
            const { aligned } = await import(new URL('compare.js', base));
            return aligned(old, now);
        }"""
        for old, now, pairs in [
            ("abc", "abc", ["aa", "bb", "cc"]),
            ("abc", "axc", ["aa", "bx", "cc"]),
            ("abc", "ac", ["aa", "b-", "cc"]),
            ("ac", "abc", ["aa", "-b", "cc"]),
            ("", "ab", ["-a", "-b"]),
            ("ab", "", ["a-", "b-"]),
            ("", "", []),
        ]:
            wanted = [[None if side == "-" else side for side in pair] for pair in pairs]
            assert await reader.page.evaluate(aligned, [list(old), list(now)]) == wanted
