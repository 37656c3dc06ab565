"""A person types into Immich's own search box; Immich asks the gateway, and the database with what it answers."""

import pytest

from indexer.photos.vectors import as_query
from indexer.work.worker import Models
from tests.conftest import immich_2_and_3
from tests.support import stubs
from tests.support.gateways import TEXT_ZH, serving, text_vector
from tests.support.stubs import StubClip, StubOcr, text_of
from tests.support.workers import eventually, idle, settings_for, working

SAID = {1: ["增值税专用发票", "NO 06231234"], 2: ["出租汽車發票"], 3: ["上海站"], 4: []}


@pytest.fixture
async def photos(database, immich, connection, owner, immich_version, width):
    """Four photos, what they say, and a description, in a library that an indexer has read."""
    await immich.change_clip_model(width)
    lines = {stubs.expected_text(number): said for number, said in SAID.items()}
    ocr = StubOcr(say=lambda rgb: lines[text_of(rgb)])
    async with working(settings_for(database, immich.media.directory), Models(StubClip(), ocr, "cpu")):
        assets = {number: await immich.upload(stubs.picture(number), owner=owner) for number in SAID}
        await idle(connection)
        await immich.describe(assets[4], "外婆家的火锅")
        await eventually(lambda: followed(connection))
    return assets


async def followed(connection) -> bool:
    return not await connection.fetchval("SELECT EXISTS (SELECT FROM immich_indexer_2.change)")


@immich_2_and_3
@pytest.mark.parametrize("width", [512, 1024, 1536])
async def test_ocr_in_immichs_search_box(database, immich, owner, tmp_path, photos, immich_version, width):
    async with serving(settings_for(database, tmp_path)) as client:
        for query, right in [
            ("ocr:专用发票", [1]),
            ("OCR：發票", [1, 2]),
            ("ocr: 0623", [1]),
            ("ｏｃｒ:出租", [2]),
            ("ocr:上海 站", [3]),
        ]:
            answer = await client.ask(TEXT_ZH, text=query)
            found = await immich.smart_search(answer.vector.tolist(), owner, version=immich_version)
            assert set(found[: len(right)]) == {photos[number] for number in right}, query
            assert len(found) == len(SAID)


@pytest.mark.parametrize("width", [1024])
async def test_a_plain_search_brings_photos_with_the_words_nearer(database, immich, owner, tmp_path, photos, width):
    async with serving(settings_for(database, tmp_path, lexical_weight=1)) as client:
        answer = await client.ask(TEXT_ZH, text="上海")
        assert (await immich.smart_search(answer.vector.tolist(), owner))[0] == photos[3]
        assert (answer.vector[:512] == as_query(text_vector("上海"), 512)).all()
        answer = await client.ask(TEXT_ZH, text="外婆 火锅")
        assert (await immich.smart_search(answer.vector.tolist(), owner))[0] == photos[4]
        unsaid = await client.ask(TEXT_ZH, text="日落")
        assert (unsaid.vector == as_query(text_vector("日落"), width)).all()
    async with serving(settings_for(database, tmp_path, lexical_weight=0)) as client:
        answer = await client.ask(TEXT_ZH, text="上海")
        assert (answer.vector == as_query(text_vector("上海"), width)).all()


@pytest.mark.parametrize("width", [512, 1024])
@pytest.mark.parametrize("query", ["ocr:", "ocr: !?", "OCR：。"])
async def test_a_search_for_no_words_is_one_by_meaning(database, tmp_path, photos, width, query):
    async with serving(settings_for(database, tmp_path)) as client:
        assert (await client.ask(TEXT_ZH, text=query)).vector[:512].any()
