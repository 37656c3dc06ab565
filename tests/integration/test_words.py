"""Words in Immich's vector column: what is written, and what is asked."""

from functools import partial
from uuid import UUID

import numpy as np
import pytest
from pgvector import HalfVector, Vector

from gateway.errors import UnavailableError
from gateway.library import Library
from gateway.ml.words import Words
from indexer.database.pool import open_pool
from indexer.database.statements import queries
from indexer.photos import facts, lexical, results
from indexer.photos.vectors import as_column, fingerprint, halved, received
from indexer.text import buckets, tokens
from indexer.text.fields import DESCRIPTION
from indexer.text.query import parse
from indexer.work import doctor
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.installs import install
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import eventually, idle, settings_for, vector_of, working

WIDTH = 1024
FILE = ["", "IMG_0001.jpg"]  # the facts of a photo of which nothing else is known

NOTHING = np.zeros(512, dtype=np.float32)  # the vector of a search that no photo fits by meaning


@pytest.fixture
async def library(database):
    library = Library(database, patience=20)
    yield library
    await library.close()


async def say(connection, asset, text: str, number: int) -> None:
    """As if the indexer had read `text` in the photo."""
    owner, taken_at = await connection.fetchrow('SELECT "ownerId", "fileCreatedAt" FROM asset WHERE id = $1', asset)
    document = tokens.document([text], marks=buckets.marks(owner, taken_at))
    await connection.execute(
        """INSERT INTO immich_indexer.photo
               (asset_id, preview_updated_at, digest, clip_model, clip, text, document, overflow, tokens_version,
                taken_at)
           VALUES ($1, now(), '', 'stub', $2::text::halfvec, $3, immich_indexer.document($3, $4), $5, $6, $7)""",
        asset,
        HalfVector(stubs.expected_vector(number)).to_text(),
        text,
        document.ngrams,
        document.overflow,
        tokens.VERSION,
        taken_at,
    )


async def fill(database, connection, immich, owner, texts: list[str], start: int = 0) -> list:
    assets = [await immich.upload(stubs.picture(1), owner=owner) for _ in texts]
    for number, (asset, text) in enumerate(zip(assets, texts, strict=True)):
        await say(connection, asset, text, start + number)
    pool = await open_pool(database)
    try:
        await results.restore(pool, assets)
    finally:
        await pool.close()
    return assets


async def test_a_vector_follows_the_visible_text(database, immich, connection, owner):
    await immich.change_clip_model(WIDTH)
    said = ["上面的字", "下面的字"]
    models = Models(StubClip(), StubOcr(say=lambda _: said), "cpu")
    vector = stubs.expected_vector(1)
    async with working(settings_for(database, immich.media.directory), models):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await idle(connection)
        assert (await vector_of(connection, asset) == as_column(vector, WIDTH, "上面的字\n下面的字", FILE)).all()
        await immich.edit(asset, crop=(0, 0, 8, 1))  # the second line stands below
        await idle(connection)
        assert (await vector_of(connection, asset) == as_column(vector, WIDTH, "上面的字", FILE)).all()
        said[0] = "别的字"
        await connection.execute("SELECT immich_indexer.reprocess($1, '{ocr}')", asset)
        await idle(connection)
        assert (await vector_of(connection, asset) == as_column(vector, WIDTH, "别的字", FILE)).all()
    assert models.clip.calls == 1


async def test_a_vector_with_words_by_an_older_version_is_written_again(
    database, immich, connection, owner, monkeypatch
):
    await immich.change_clip_model(WIDTH)
    with monkeypatch.context() as patch:
        patch.setattr(lexical, "VERSION", 0)
        patch.setattr(lexical, "weights", lambda text: {"old": 1} if text else {})
        async with working(settings_for(database, immich.media.directory)):
            asset = await immich.upload(stubs.picture(1), owner=owner)
            await idle(connection)
    old = await vector_of(connection, asset)
    expected = as_column(stubs.expected_vector(1), WIDTH, stubs.expected_text(1), FILE)
    assert not (old == expected).all()
    async with working(settings_for(database, immich.media.directory)):

        async def is_new() -> bool:
            return bool((await vector_of(connection, asset) == expected).all())

        await eventually(is_new)


async def test_an_altered_lexical_part_is_found(database, immich, connection, owner):
    await immich.change_clip_model(WIDTH)
    expected = as_column(stubs.expected_vector(1), WIDTH, stubs.expected_text(1), FILE)
    async with working(settings_for(database, immich.media.directory, reconcile_seconds=0.2)):
        asset = await immich.upload(stubs.picture(1), owner=owner)
        await idle(connection)
        await immich.immich_clip_job(asset, as_column(stubs.expected_vector(1), WIDTH).tolist())

        async def is_right() -> bool:
            return bool((await vector_of(connection, asset) == expected).all())

        await eventually(is_right)


async def test_what_vectors_on_their_way_look_like(connection):
    """PostgreSQL reads the very same numbers as from nine digits, which tell every float32 apart."""
    column = as_column(stubs.expected_vector(1), WIDTH, "发票")
    for text in (Vector(column).to_text(), "[" + ",".join(f"{number:.9g}" for number in column.tolist()) + "]"):
        sent = await connection.fetchval("SELECT vector_send($1::text::vector)", text)
        assert (received(sent) == column).all()
        assert fingerprint(column) == await connection.fetchval("SELECT md5($1::bytea)::uuid", sent)
    vector = stubs.expected_vector(1)
    half = halved(vector)
    for text in (HalfVector(vector).to_text(), "[" + ",".join(f"{number:.9g}" for number in half.tolist()) + "]"):
        sent = await connection.fetchval("SELECT halfvec_send($1::text::halfvec)", text)
        assert (received(sent) == half).all()


@pytest.mark.parametrize("width", [512, WIDTH])
async def test_photos_with_the_words_come_first(database, immich, connection, owner, library, width):
    await install(database)
    await immich.change_clip_model(width)
    texts = [f"第{number}页 一些别的内容" for number in range(40)]
    for number in (3, 17, 30):
        texts[number] += "增值税发票"
    assets = await fill(database, connection, immich, owner, texts)
    words = Words(library)
    question = await words.only("发票", width, 512)
    assert float(np.linalg.norm(question)) == pytest.approx(1, abs=1e-5)
    found = await immich.smart_search(question.tolist(), owner)
    assert set(found[:3]) == {assets[number] for number in (3, 17, 30)}
    await words.learn(width, 512)
    question = await words.only("发票", width, 512)
    found = await immich.smart_search(question.tolist(), owner)
    assert set(found[:3]) == {assets[number] for number in (3, 17, 30)}
    words.close()


async def test_nobody_learns_from_what_is_locked_or_gone(database, immich, connection, owner, library):
    await install(database)
    await immich.change_clip_model(WIDTH)
    assets = await fill(database, connection, immich, owner, ["秘密发票", "秘密发票", "秘密发票", "别的"])
    words = Words(library)
    await immich.lock(assets[0])
    await immich.hide(assets[1])
    await immich.trash(assets[2])
    assert await words.beside("秘密", WIDTH, NOTHING, 1) is None
    question = await words.only("秘密", WIDTH, 512)
    assert np.allclose(question[512:-1], lexical.question("秘密", WIDTH - 513)), "the words themselves, no photo's"
    await words.learn(WIDTH, 512)
    await immich.lock(assets[3])
    assert await words.beside("别的", WIDTH, NOTHING, 1) is None
    words.close()


async def test_each_owner_is_learnt_from_alike(database, immich, connection, owner, library):
    await install(database)
    await immich.change_clip_model(WIDTH)
    bob = await immich.create_user("bob")
    await fill(database, connection, immich, owner, [f"发票 {number}" for number in range(250)])
    theirs = await fill(database, connection, immich, bob, ["票据 发票", *["无关"] * 20], start=500)
    words = Words(library)
    await words.learn(WIDTH, 512)
    question = await words.only("发票", WIDTH, 512)
    assert (await immich.smart_search(question.tolist(), bob))[0] == theirs[0]
    words.close()


async def test_words_beside_the_meaning_do_not_disturb_its_order(database, immich, connection, owner, library):
    await install(database)
    await immich.change_clip_model(WIDTH)
    assets = await fill(database, connection, immich, owner, ["发票", "收据", "", "", "车票"])
    words = Words(library, patience=10)
    await words.learn(WIDTH, 512)
    assert await words.beside("没有的字", WIDTH, NOTHING, 1) is None
    beside = await words.beside("发票", WIDTH, NOTHING, 1)
    assert not beside[:512].any()
    rises = {asset: float(beside @ await vector_of(connection, asset)) for asset in assets}
    rest = [rises[asset] for asset in assets[1:]]
    assert rises[assets[0]] - max(rest) > 0.7
    assert rises[assets[2]] == pytest.approx(rises[assets[3]], abs=1e-3), "photos without text keep their order"
    assert await words.beside("发票", 512, NOTHING, 1) is None
    words.close()


async def test_an_edit_of_what_all_may_see_reaches_the_vector(database, immich, connection, owner):
    """Without reading the photo again. People, tags and albums are for their owner alone: they never do."""
    await immich.change_clip_model(WIDTH)
    models = Models(StubClip(), StubOcr(), "cpu")
    vector, text = stubs.expected_vector(1), stubs.expected_text(1)
    async with working(settings_for(database, immich.media.directory), models):
        asset = await immich.upload(stubs.picture(1), owner=owner, file_name="生日.jpg")
        await idle(connection)

        async def holds(*facts: str) -> bool:
            return bool((await vector_of(connection, asset) == as_column(vector, WIDTH, text, facts)).all())

        await eventually(partial(holds, "", "生日.jpg"))
        await immich.describe(asset, "外婆家的火锅")
        await eventually(partial(holds, "外婆家的火锅", "生日.jpg"))
        await immich.name_person(owner, await immich.recognise(asset), "张三")
        await immich.tag(asset, "旅行")
        await immich.create_album(owner, "北海道", asset)
        await immich.locate(asset, "Shanghai", None, "China")
        await eventually(partial(holds, "外婆家的火锅", "生日.jpg", "Shanghai", "China"))
        await immich.describe(asset, "")
        await eventually(partial(holds, "", "生日.jpg", "Shanghai", "China"))
    assert models.clip.calls == models.ocr.calls == 1


async def test_an_edit_while_immich_changes_its_column(database, immich, connection, owner):
    """The facts are followed all the same, and the vector when the column is filled again."""
    await install(database)
    await immich.change_clip_model(WIDTH)
    [asset] = await fill(database, connection, immich, owner, ["发票"])
    pool = await open_pool(database)
    try:
        async with immich.clip_model_change(1536):
            await immich.describe(asset, "外婆家")
            await pool.transact(partial(facts.refresh, assets=[asset]))
        assert (await facts.read(pool, [asset]))[asset].values[DESCRIPTION] == ["外婆家"]
        assert await facts.stale(pool, UUID(int=0), 10, thorough=True) == (asset, [])
        await results.restore(pool, [asset])
    finally:
        await pool.close()
    expected = as_column(stubs.expected_vector(0), 1536, "发票", ["外婆家", *FILE[1:]])
    assert (await vector_of(connection, asset) == expected).all()


async def test_a_plain_search_finds_facts_and_ocr_the_text_alone(database, immich, connection, owner, library):
    await install(database)
    await immich.change_clip_model(WIDTH)
    texts = ["", "发票", *(f"第{number}页" if number % 2 else "" for number in range(30))]
    assets = await fill(database, connection, immich, owner, texts)
    described, said = assets[:2]
    words = Words(library, patience=10)
    meaning = stubs.expected_vector(len(texts) - 1)  # the last photo is nearest by meaning

    async def first(text: str) -> list:
        question = np.pad(meaning, (0, WIDTH - 512)) + await words.beside(text, WIDTH, meaning, 0.1)
        return await immich.smart_search(question.tolist(), owner)

    async def refresh() -> None:
        pool = await open_pool(database)
        try:
            await pool.transact(partial(facts.refresh, assets=assets))
        finally:
            await pool.close()

    await immich.describe(described, "外婆家的发票")
    await immich.locate(assets[7], "Shanghai", None, "China")
    await immich.name_person(owner, await immich.recognise(assets[9]), "张三")
    await immich.tag(assets[9], "旅行")
    await refresh()
    found = await first("发票")
    assert set(found[:2]) == {described, said}
    assert found[2] == assets[-1], "behind them, the order is that of the meaning"
    assert (await first("外婆"))[0] == described
    assert (await first("上海"))[0] == assets[7]
    assert (await first("外婆 发票"))[0] == described
    for unknown in ("张三", "旅行", "外婆 上海"):
        assert await words.beside(unknown, WIDTH, meaning, 0.1) is None
    found = await immich.smart_search((await words.only("发票", WIDTH, 512)).tolist(), owner)
    assert found[0] == said
    assert described not in found[1:3], "its description is no text in the photo"
    await immich.describe(described, "别的")
    await refresh()
    assert (await first("发票"))[0] == said
    assert await words.beside("外婆", WIDTH, meaning, 0.1) is None
    words.close()


async def test_without_a_database_nothing_is_answered_in_doubt(tmp_path):
    library = Library(f"postgresql://nobody@/nowhere?host={tmp_path}")
    words = Words(library)
    assert await words.beside("发票", WIDTH, NOTHING, 1) is None
    with pytest.raises(UnavailableError, match="the database does not answer"):
        await words.only("发票", WIDTH, 512)
    assert await words.only("!?", WIDTH, 512) is None
    words.close()
    await library.close()


@pytest.mark.parametrize(
    ("width", "verdict", "says"),
    [
        (512, "advice", "XLM-Roberta-Large-ViT-H-14__frozen_laion5b_s13b_b90k (1024)"),
        (768, "advice", "255 dimensions"),
        (1024, "ok", "511 hold the photos' words"),
        (1536, "ok", "1023 hold the photos' words"),
    ],
)
async def test_doctor_says_which_model_leaves_room_for_words(database, immich, tmp_path, width, verdict, says):
    await immich.change_clip_model(width)
    findings = await doctor.examine(settings_for(database, tmp_path, tasks="clip"), patience=0)
    [found] = [finding for finding in findings if finding.check == "vector width"]
    assert found.verdict == verdict
    assert says in found.text


async def test_matches_are_found_by_indexes_alone(database, immich, connection, owner):
    """Whatever the size of the library: the plan never reads a whole table."""
    await install(database)
    await fill(database, connection, immich, owner, ["发票抬头"] * 5)
    sql = queries("words")
    await connection.execute("SET search_path = pg_catalog, public")
    async with connection.transaction():
        await connection.fetch(sql["by_index"], "1000")
        query = parse("发票抬头")
        await connection.execute(f"PREPARE matches AS {sql['matches']}")
        owned = f"{query.sieve} & {buckets.owned([owner])}".replace("'", "''")
        literally = query.literal.replace("'", "''")
        sieve = query.sieve.replace("'", "''")
        arguments = f"ARRAY['{owner}'::uuid], ARRAY['{owned}'], '{literally}', '[]', '{sieve}', 200, 200"
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE matches ({arguments})"))
    assert "photo_document" in plan
    assert "Seq Scan" not in plan
