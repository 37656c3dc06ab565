"""The console's page of a trial in a real browser: figures, and both models' rankings side by side."""

import contextlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from playwright.async_api import Browser, expect

from indexer.demo.immich import StandIn
from indexer.photos import sets, trials
from indexer.photos.trials import Cost, Figures, Score, Trial
from tests.support import console, stubs
from tests.support.console import DESK, PHONE, Reader, browsing, console_of, drawn, reading
from tests.support.people import house
from tests.support.stubs import text_vector
from tests.support.workers import settings_for

in_a_browser = pytest.mark.skipif(console.chromium() is None, reason=console.NO_BROWSER)
both_readers = pytest.mark.parametrize(("language", "size"), [("en-GB", DESK), ("zh-CN", PHONE)])

Q = "海边的日落"
USED, TRIED = "stub clip", "stub tried"
NAMES = ("sea.jpg", "dusk.jpg", "invoice.jpg", "hers.jpg")


def near(text: str, step: int, seed: int) -> np.ndarray:
    """A vector of a photo that comes after those of smaller steps when one asks `text`."""
    asked = text_vector(text)
    other = np.random.default_rng(seed).standard_normal(stubs.DIMENSIONS).astype(np.float32)
    other -= (other @ asked) * asked
    vector = asked + step / 10 * other / np.linalg.norm(other)
    return vector / np.linalg.norm(vector)


@pytest.fixture
async def boss(immich: StandIn) -> UUID:
    return await immich.create_user("boss", admin=True)


@pytest.fixture
async def trial(own, immich: StandIn, boss: UUID, owner: UUID) -> Trial:
    """Of three photos of the administrator's, which both models rank in opposite ways, and one of somebody else's."""
    await sets.register(own, sets.Own(USED, "ViT-B-16", None), uuid4(), {}, immich_answers=False)
    photos = [
        await immich.upload(drawn(name, width=400, height=300)[0], owner=boss, file_name=name) for name in NAMES[:3]
    ]
    photos.append(await immich.upload(drawn(NAMES[3])[0], owner=owner, file_name=NAMES[3]))
    scores = (Score("description", 40, 0.5, 0.62, 0.04, 0.21), Score("all", 41, 0.51, 0.6123, 0.03, 0.2))
    figures = Figures(4, 2, 1234, 512, scores, Cost(), Cost(0.25, 700_000_000))
    made = Trial(datetime(2026, 5, 1, 12, tzinfo=UTC), USED, TRIED, TRIED, figures)
    vectors = {photo: (near(Q, step, step), near(Q, 9 - step, step)) for step, photo in enumerate(photos, start=1)}
    await trials.store(own, made, vectors)
    return made


@contextlib.asynccontextmanager
async def signed_in(url: str, key: str, browser: Browser, **options) -> AsyncIterator[Reader]:
    async with reading(browser, url, **options) as reader:
        await reader.open("/console/status")
        await reader.sign_in(key)
        yield reader


@in_a_browser
@both_readers
async def test_both_models_are_asked_side_by_side(database, immich: StandIn, trial, boss, owner, language, size):
    english = language == "en-GB"
    settings = settings_for(database, immich.media.directory)
    async with browsing() as browser, console_of(immich, settings) as url:
        async with signed_in(url, await immich.create_key(boss), browser, language=language, size=size) as reader:
            page = reader.page
            await page.click("#try a")
            await expect(page.locator("#verdict")).to_contain_text("finds more" if english else "试用模型找到的更多")
            await expect(page.locator("#change")).to_contain_text("1,234")
            cells = await page.locator("#figures td").all_inner_texts()
            missing = "not measured" if english else "未测量"
            assert cells == [
                *("50%", "62%", "+12.0 (+4.0 … +21.0)", "51%", "61.2%", "+10.2 (+3.0 … +20.0)"),
                *(missing, "0.25", "", missing, "700 MB", ""),
            ]
            await page.fill("#q", Q)
            await page.press("#q", "Enter")
            await expect(page.locator("#by-current .name")).to_have_text(list(NAMES[:3]))
            await expect(page.locator("#by-tried .name")).to_have_text([*reversed(NAMES[:3])])
            place = page.locator("#by-tried .tag").first
            await expect(place).to_have_text("other model: 3" if english else "另一模型：3")
            await expect(page.locator("#summary")).to_contain_text("3")
            for ranking in ("#by-current", "#by-tried"):  # others may be below what is seen of the page
                await expect(page.locator(f"{ranking} .thumb.loaded").first).to_be_visible()
            if folder := os.environ.get("SCREENSHOTS"):
                path = Path(folder) / f"trial-{size['width']}.png"
                await page.screenshot(path=path, full_page=True, animations="disabled")
            assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            assert await reader.faults() == []
        async with signed_in(url, await immich.create_key(owner), browser, language=language, size=size) as reader:
            await expect(reader.page.locator("#status")).to_be_visible()
            await expect(reader.page.locator("#try")).to_be_hidden()
            reader.refused.add(403)
            await reader.open("/console/trial")
            await expect(reader.page.locator("#problem")).to_contain_text("only to administrators")


async def test_each_administrator_finds_what_immich_shows_them(database, immich: StandIn, own, trial, boss, owner):
    other = await immich.create_user("other", admin=True)
    async with house(database, immich) as home:
        person = await home.person(boss)
        told = (await person.get("/api/trial")).json["trial"]
        assert (told["current"], told["tried"], told["photos"], told["seconds"]) == (USED, TRIED, 4, 1234 * 0.25)
        assert [score["verdict"] for score in told["scores"]] == ["better", "better"]

        async def found(user: UUID, **parameters) -> list[tuple[str, int, int]]:
            answer = (await (await home.person(user)).get("/api/trial/search", q=Q, **parameters)).json
            items = [(item["fileName"], item["currentRank"], item["triedRank"]) for item in answer["items"]]
            assert answer["photos"] >= len(items)
            return items

        assert sorted(await found(boss)) == [("dusk.jpg", 2, 2), ("invoice.jpg", 3, 1), ("sea.jpg", 1, 3)]
        assert sorted(await found(boss, limit=1)) == [("invoice.jpg", 3, 1), ("sea.jpg", 1, 3)]
        assert await found(other) == []
        await immich.share(owner, boss)
        assert ("hers.jpg", 4, 1) in await found(boss), "a partner's, as in a search"
        ann = await home.person(owner)
        assert [(await ann.get(path)).status for path in ("/api/trial", f"/api/trial/search?q={Q}")] == [403, 403]
        await own.execute("UPDATE immich_indexer_3.model SET name = 'stub other'")
        reply = await person.get("/api/trial/search", q=Q)
        assert (reply.status, "the model in use is no longer stub clip" in reply.json["message"]) == (409, True)
        await trials.forget(own)
        assert (await person.get("/api/trial")).json == {"trial": None}
        assert (await person.get("/api/trial/search", q=Q)).status == 409
