"""Finding photos in the console in a real browser: what it suggests, and what it does with it."""

import contextlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from playwright.async_api import Browser, expect

from indexer.demo.immich import StandIn
from indexer.photos import facts
from indexer.photos.lines import StoredLine, dump_lines
from indexer.text import tokens
from tests.support import console
from tests.support.console import DESK, PHONE, Reader, browsing, console_of, drawn, reading
from tests.support.installs import install
from tests.support.workers import settings_for

pytestmark = [
    pytest.mark.skipif(console.chromium() is None, reason=console.NO_BROWSER),
    pytest.mark.timeout(300),
]
BOX = (0.1, 0.1, 0.9, 0.1, 0.9, 0.2, 0.1, 0.2)
both_readers = pytest.mark.parametrize(("language", "size"), [("en-GB", DESK), ("zh-CN", PHONE)])


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as browser:
        yield browser


@pytest.fixture
async def url(database: str, immich: StandIn, tmp_path: Path) -> AsyncIterator[str]:
    await install(database)
    async with console_of(immich, settings_for(database, tmp_path / "media")) as url:
        yield url


@pytest.fixture
async def key(immich: StandIn, owner: UUID) -> str:
    return await immich.create_key(owner)


@contextlib.asynccontextmanager
async def signed_in(browser: Browser, url: str, key: str, **options) -> AsyncIterator[Reader]:
    async with reading(browser, url, **options) as reader:
        await reader.open()
        await reader.sign_in(key)
        yield reader


async def look(reader: Reader, name: str) -> None:
    """A picture of the page, to be looked at, where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        width = (reader.page.viewport_size or {})["width"]
        await reader.page.screenshot(path=Path(folder) / f"{name}-{width}.png", animations="disabled")


async def photo_of(
    connection: asyncpg.Connection, immich: StandIn, owner: UUID, *lines: str, place: str | None = None, **asset
) -> UUID:
    """A photo that was read, of which Immich knows a place."""
    photo = await immich.upload(drawn(*lines)[0], owner=owner, **asset)
    if place is not None:
        await immich.locate(photo, place, None, None)
    async with connection.transaction():
        await facts.refresh(connection, [photo])
    document = tokens.document(lines)
    await connection.execute(
        """UPDATE immich_indexer.photo SET lines = $2, text = $3, digest = '', ocr_model = 'stub ocr',
               indexed_at = now(), text_size = length($4::text::tsvector),
               document = ($4 || ' ' || document::text)::tsvector
           WHERE asset_id = $1""",
        photo,
        dump_lines([StoredLine(line, BOX, 0.9, 0.9) for line in lines]),
        "\n".join(lines),
        document.ngrams,
    )
    return photo


@pytest.fixture
async def known(connection, immich, owner, url) -> UUID:
    """A photo of somebody in Shanghai, in an album, with a tag; and one without all that."""
    photo = await photo_of(
        connection, immich, owner, "上海增值税专用发票", "上海虹桥站", place="上海市", file_name="known.jpg"
    )
    person = await immich.recognise(photo)
    await immich.name_person(owner, person, "上官 婉儿")
    await immich.show_face(owner, person, drawn("官", width=100, height=100)[0])
    await immich.tag(photo, "上班")
    await immich.create_album(owner, "上海之行", photo)
    async with connection.transaction():
        await facts.refresh(connection, [photo])
    await photo_of(connection, immich, owner, "上海虹桥站", file_name="other.jpg")
    return photo


@both_readers
async def test_suggestions_are_chosen_with_the_keyboard_or_a_finger(browser, url, key, known, language, size):
    english = language == "en-GB"
    async with signed_in(browser, url, key, language=language, size=size) as reader:
        page = reader.page
        box, options = page.locator("#q"), page.locator("#suggestions [role=option]")
        await box.press_sequentially("发票 上")
        await expect(options).to_have_count(6)
        assert await page.locator("#suggestions .value").all_inner_texts() == [
            *("上官 婉儿", "上海市", "上海之行", "上班", "上海", "上海虹桥站")
        ]
        await expect(options.first.locator(".kind")).to_have_text("Person" if english else "人物")
        await page.wait_for_function("document.querySelector('#suggestions img').naturalWidth === 100")
        await expect(page.locator("#suggested")).to_contain_text("6")
        await look(reader, "suggestions")
        assert await reader.faults() == []
        await box.press("ArrowUp")
        await expect(options.last).to_have_attribute("aria-selected", "true")
        await box.press("ArrowDown")
        await expect(box).not_to_have_attribute("aria-activedescendant", "suggestion-5")
        await box.press("ArrowDown")
        await expect(box).to_have_attribute("aria-activedescendant", "suggestion-0")
        await box.press("Enter")
        await expect(box).to_have_value("发票")
        await expect(page.locator("#filters .chip")).to_have_text(["Person上官 婉儿×" if english else "人物上官 婉儿×"])
        await expect(page.locator("#suggestions")).to_be_hidden()
        await expect(box).to_have_attribute("aria-expanded", "false")
        await expect(page.locator("#results .name")).to_have_text(["known.jpg"])
        assert "filter=person" in page.url

        await page.click("#filters .chip")
        await box.fill("-tag:上")
        await expect(options).to_have_count(1)
        await box.press("ArrowDown")
        await box.press("Enter")
        await expect(box).to_have_value("-tag:上班 " if english else "-标签:上班 ")
        await box.fill("ocr:虹")
        await expect(options).to_have_count(1)
        await (options.first.tap() if size == PHONE else options.first.click())
        await expect(box).to_have_value("ocr:虹桥站 ")
        await box.press_sequentially("上")
        await expect(options).to_have_count(2)
        await box.press("Escape")
        await expect(page.locator("#suggestions")).to_be_hidden()
        await expect(box).to_have_value("ocr:虹桥站 上")
        await box.press("Enter")
        await expect(page.locator("#results .name")).to_have_count(2)


async def test_while_a_word_is_composed_nothing_is_asked(browser, url, key, known):
    async with signed_in(browser, url, key) as reader:
        asked: list[str] = []
        reader.page.on("request", lambda request: asked.append(request.url) if "/suggest" in request.url else None)
        session = await reader.page.context.new_cdp_session(reader.page)
        await session.send("Input.imeSetComposition", {"text": "shang", "selectionStart": 5, "selectionEnd": 5})
        await session.send("Input.insertText", {"text": "上海"})
        await expect(reader.page.locator("#suggestions [role=option]")).not_to_have_count(0)
        assert [address.partition("q=")[2] for address in asked] == ["%E4%B8%8A%E6%B5%B7"]


async def test_without_the_right_to_see_people_and_without_an_answer(browser, url, immich, owner, known):
    key = await immich.create_key(owner, "user.read", "asset.read")
    async with signed_in(browser, url, key) as reader:
        page = reader.page
        await page.locator("#q").press_sequentially("上官")
        await expect(page.locator("#suggestions [role=option]")).to_have_count(1)
        await expect(page.locator("#suggestions img")).to_be_hidden()
        reader.refused.add(503)
        await page.route("**/api/suggest*", lambda route: route.fulfill(status=503, json={"error": "busy"}))
        await page.locator("#q").press_sequentially("婉")
        await expect(page.locator("#suggestions")).to_be_hidden()
        await expect(page.locator("#problem")).to_be_empty()


@both_readers
async def test_filters_are_chips_that_can_be_removed(
    browser, url, key, known, connection, immich, owner, language, size
):
    """Names, years and a range of days; they are in the address, and so for a photo, and for who comes back."""
    english = language == "en-GB"
    for year in (2019, 2023):
        taken = datetime(year, 5, 1, 12, tzinfo=UTC)
        await photo_of(connection, immich, owner, "上海虹桥站", file_name=f"{year}.jpg", taken_at=taken)
    async with signed_in(browser, url, key, language=language, size=size) as reader:
        page = reader.page
        names, chips, years = (page.locator(f"#{name}") for name in ("results .name", "filters .chip", "years .chip"))
        await reader.search("虹桥")
        await expect(names).to_have_count(4)
        this_year = str(datetime.now(UTC).year)
        await expect(years).to_have_text([f"{this_year}2", "20231", "20191"])
        await years.nth(1).click()
        await expect(names).to_have_text(["2023.jpg"])
        await expect(chips).to_have_text(["Date2023×" if english else "日期2023×"])
        await expect(page.locator("#years")).to_be_hidden()

        await page.click("#when summary")
        await page.fill("#from", "2023-06-01")
        await page.fill("#to", "2019-01-01")  # the wrong way round
        await look(reader, "dates")
        assert await reader.faults() == []
        await page.click("#apply")
        await expect(names).to_have_count(2)
        await expect(chips).to_have_text([f"{'Date' if english else '日期'}2019-01-01 – 2023-06-01×"])
        await look(reader, "chips")
        assert await reader.faults() == []
        await page.click("#results a >> nth=0")
        await page.wait_for_selector(".stage.loaded")
        await expect(page.locator("#place")).to_contain_text("2")
        await page.click("#back")
        await expect(names).to_have_count(2)
        await expect(chips).to_have_count(1)
        await page.reload()
        await expect(years).to_have_count(2)

        await page.fill("#q", "")
        await page.press("#q", "Enter")
        await expect(page.locator("#summary")).to_contain_text("2 photos." if english else "2 张照片。")
        await page.goto(f"{url}/console?filter=person:nobody&filter=-tag:x")
        await expect(page.locator("#nothing")).to_contain_text("Take a filter away" if english else "去掉一个筛选条件")
        await expect(chips).to_have_count(2)
        await chips.first.focus()
        reader.refused.add(400)
        await page.keyboard.press("Enter")
        await expect(page.locator("#problem")).to_contain_text("only words to leave out")
        await expect(chips.first).to_be_focused()
        await chips.first.click()
        await expect(page.locator("#tips")).to_be_visible()
        await expect(page.locator("#main" if size == PHONE else "#q")).to_be_focused()
        assert "filter" not in page.url


@both_readers
async def test_more_like_a_photo(browser, url, key, known, connection, immich, owner, language, size):
    """By what it says, by what it shows, from photo to photo, and back."""
    english = language == "en-GB"
    async with signed_in(browser, url, key, language=language, size=size) as reader:
        page = reader.page
        await reader.look_at(known)
        await look(reader, "photo")
        await page.click("#like-words")
        await expect(page.locator("#results .name")).to_have_text(["other.jpg"])
        await expect(page.locator("#results mark")).to_have_text("上海虹桥站")
        said = "Photos that say what known.jpg says" if english else "文字与 known.jpg 相近的照片"
        await expect(page.locator("#summary")).to_contain_text(said)
        await look(reader, "like")
        assert await reader.faults() == []
        await page.click("#results a")
        await page.wait_for_selector(".stage.loaded")
        await expect(page.locator("#place")).to_contain_text("1")
        await page.click("#back")
        await expect(page.locator("#results .name")).to_have_text(["other.jpg"])
        await page.click("#summary a")
        await page.wait_for_selector(".stage.loaded")
        await expect(page.locator("h1:visible")).to_have_text("known.jpg")

        await page.click("#like-meaning")
        said = "There is no vector of known.jpg yet" if english else "known.jpg 还没有向量"
        await expect(page.locator("#summary")).to_contain_text(said)
        await immich.immich_clip_job(known, [0.1] * 512)
        other = await photo_of(connection, immich, owner, file_name="alike.jpg")
        await immich.immich_clip_job(other, [0.1] * 511 + [0.2])
        await page.reload()
        await expect(page.locator("#results .name")).to_have_text(["alike.jpg"])
        await page.fill("#q", "上海")
        await page.press("#q", "Enter")
        await expect(page.locator("#results .name")).to_have_count(3)
        assert "like=" not in page.url


@both_readers
async def test_saved_searches_stay_in_the_browser(browser, url, key, known, immich, language, size):
    """For each user apart, also after signing out."""
    english = language == "en-GB"
    async with signed_in(browser, url, key, language=language, size=size) as reader:
        page = reader.page
        save, saved = page.locator("#save"), page.locator("#saved-list a")
        await expect(save).to_be_hidden()
        await expect(page.locator("#saved")).to_be_hidden()
        await page.goto(f"{url}/console?q=ocr:%E8%99%B9%E6%A1%A5&filter=place:%E4%B8%8A%E6%B5%B7")
        await expect(page.locator("#results .name")).to_have_text(["known.jpg"])
        await save.click()
        await expect(save).to_have_attribute("aria-pressed", "true")
        await expect(save).to_have_text("★ Saved" if english else "★ 已保存")
        await reader.search("上海")
        await expect(save).to_have_attribute("aria-pressed", "false")
        await save.click()
        await page.click("#saved summary")
        place = f" · {'Place' if english else '地点'} 上海"
        await expect(saved).to_have_text([f"上海{place}", f"ocr:虹桥{place}"])
        await look(reader, "saved")
        assert await reader.faults() == []
        assert key not in await page.evaluate("JSON.stringify(localStorage)")

        await page.click("#sign-out")
        await reader.sign_in(await immich.create_key(await immich.create_user("eve")))
        await expect(page.locator("#saved")).to_be_hidden()
        await page.click("#sign-out")
        await reader.sign_in(key)
        await page.click("#saved summary")
        await saved.last.click()
        await expect(page.locator("#results .name")).to_have_text(["known.jpg"])
        await expect(page.locator("#filters .chip")).to_have_count(1)
        await expect(save).to_have_attribute("aria-pressed", "true")
        await save.click()
        await page.click("#saved summary")
        await expect(saved).to_have_text([f"上海{place}"])
        await page.click("#saved-list button")
        await expect(page.locator("#saved")).to_be_hidden()
        await expect(page.locator("#q")).to_be_focused()
        assert await page.evaluate("localStorage.length") == 0
        await page.evaluate("void (Storage.prototype.setItem = () => { throw new Error('full') })")
        await save.click()
        said = "The browser does not keep it." if english else "浏览器没有保存。"
        await expect(page.locator("#said")).to_have_text(said)
        await expect(save).to_have_attribute("aria-pressed", "false")
