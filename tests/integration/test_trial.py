"""`model try`: another model beside the one in use, on a sample of the library, judged by what Immich says of it."""

import asyncio
import json
import re
from collections.abc import Sequence
from random import Random
from uuid import UUID

import asyncpg
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner
from pgvector import HalfVector

from indexer.cli.main import main
from indexer.database.pool import connect_to_immich, hang_up
from indexer.demo.drawn import WEIGHTS
from indexer.demo.drawn.captions import caption
from indexer.demo.drawn.scenes import draw, encoded, invent
from indexer.demo.immich import StandIn
from indexer.models.load import load_models
from indexer.photos import trials
from indexer.photos.trials import Trial, TrialError
from indexer.work import trial as trying
from indexer.work.trial import Towers
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.hosts import hosted_clip, hosted_text
from tests.support.packages import SIGLIP_2, write_package
from tests.support.stubs import StubClip, StubOcr, StubText
from tests.support.workers import QUICK, idle, settings_for, working

Connection = asyncpg.Connection

USED, TRIED = "ViT-B-16", "another"
WORDS = ("海边", "日落", "小猫", "发票")
TABLES = "SELECT (SELECT count(*) FROM immich_indexer_3.trial), (SELECT count(*) FROM immich_indexer_3.trial_photo)"


class Stubs:
    """Stub models by the setting that names them; `started` are the settings of the towers in the order of work."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.hosted: list = []

    @property
    def towers(self) -> Towers:
        return Towers(self._image, self._text)

    def _image(self, setting: str):
        return self._begun(f"image {setting}", hosted_clip(StubClip(f"stub {setting}", kind=len(setting))))

    def _text(self, setting: str):
        return self._begun(f"text {setting}", hosted_text(StubText(f"stub {setting}")))

    def _begun(self, name: str, hosted):
        assert not any(other.engine.state.is_ready for other in self.hosted), "one at a time"
        self.started.append(name)
        self.hosted.append(hosted)
        return hosted


async def library(database: str, immich: StandIn, connection: Connection, owner: UUID, size: int) -> list[UUID]:
    """Photos that the model in use has read."""
    settings = settings_for(database, immich.media.directory, clip_model=USED)
    used = Models(StubClip(f"stub {USED}", kind=len(USED)), StubOcr(), "cpu")
    async with working(settings, used, pace=QUICK):
        photos = [await immich.upload(stubs.picture(number), owner=owner) for number in range(size)]
        await idle(connection)
    return photos


async def compare(database: str, immich: StandIn, photos: int = 500, towers: Towers | None = None, **more) -> Trial:
    settings = settings_for(database, immich.media.directory, **more)
    return await trying.run(settings, TRIED, photos, tell=lambda *_: None, towers=towers or Stubs().towers)


def recall(question: np.ndarray, photos: dict[UUID, np.ndarray], fitting: Sequence[UUID]) -> float:
    """R@10, computed as one would by hand."""
    ranking = sorted(photos, key=lambda asset: -float(photos[asset] @ question))
    return len(set(ranking[:10]) & set(fitting)) / min(len(fitting), 10)


async def vectors(connection: Connection, column: str) -> dict[UUID, np.ndarray]:
    rows = await connection.fetch(f"SELECT asset_id, {column}::text AS vector FROM immich_indexer_3.trial_photo")
    return {row["asset_id"]: HalfVector.from_text(row["vector"]).to_numpy().astype(np.float32) for row in rows}


async def test_the_figures_are_those_of_the_labels(database, immich: StandIn, connection, owner):
    photos = await library(database, immich, connection, owner, 24)
    labels: dict[tuple[str, str], list[UUID]] = {}
    for number, photo in enumerate(photos):
        await immich.describe(photo, f"第 {number} 张，{WORDS[number % 4]}")
        labels["description", f"第 {number} 张，{WORDS[number % 4]}"] = [photo]
    labels["tag", "旅行 日本"] = photos[:12]  # as many as the first ten cannot hold
    await immich.tag(photos[:12], "旅行/日本")
    await immich.tag(photos[:13], "too many")  # more than half
    await immich.tag(photos[:2], "2019")  # no letters
    await immich.create_album(owner, "海边之行", photos[3:6])
    labels["album", "海边之行"] = photos[3:6]
    person = await immich.recognise(photos[7])
    await immich.name_person(owner, person, "张三")
    labels["person", "张三"] = [photos[7]]

    made = Stubs()
    trial = await compare(database, immich, towers=made.towers)

    assert made.started == [f"image {TRIED}", f"text {TRIED}", f"text {USED}", f"image {USED}"]
    assert not any(hosted.engine.state.is_ready for hosted in made.hosted), "all are ended"
    assert (trial.current, trial.tried, trial.setting) == (f"stub {USED}", f"stub {TRIED}", TRIED)
    figures = trial.figures
    assert (figures.photos, figures.left_out, figures.lacking, figures.dimensions) == (24, 0, 24, stubs.DIMENSIONS)
    kept = {name: await vectors(connection, name) for name in ("current", "tried")}
    assert set(kept["tried"]) == set(kept["current"]) == set(photos)
    by = {
        name: {label: recall(stubs.text_vector(label[1]), found, fitting) for label, fitting in labels.items()}
        for name, found in kept.items()
    }
    assert by["current"] != by["tried"]
    assert [score.kind for score in figures.scores] == ["description", "tag", "album", "person", "all"]
    for score in figures.scores:
        of_kind = [label for label in labels if score.kind in (label[0], "all")]
        assert score.questions == len(of_kind)
        assert score.current == pytest.approx(np.mean([by["current"][label] for label in of_kind]))
        assert score.tried == pytest.approx(np.mean([by["tried"][label] for label in of_kind]))
        assert score.low <= score.tried - score.current <= score.high
    assert figures.scores[-1].verdict == "few"
    for cost in (figures.current, figures.tried):
        assert cost.seconds is not None
        assert cost.memory == 300 << 20
    assert figures.seconds == pytest.approx(24 * figures.tried.seconds)
    told = json.dumps((await connection.fetchval("SELECT figures FROM immich_indexer_3.trial")), ensure_ascii=False)
    assert not [word for word in ("张", "海", "旅行") if word in told], "no name and no text"
    assert await trials.read(connection) == trial


async def test_what_cannot_be_compared_is_left_out(database, immich: StandIn, connection, owner):
    photos = await library(database, immich, connection, owner, 6)
    path = await connection.fetchval(
        "SELECT path FROM asset_file WHERE \"assetId\" = $1 AND type = 'preview'", photos[0]
    )
    immich.media.delete(path)
    path = await connection.fetchval(
        "SELECT path FROM asset_file WHERE \"assetId\" = $1 AND type = 'preview'", photos[1]
    )
    immich.media.write(path, stubs.picture(99))
    await immich.lock(photos[2])
    await immich.trash(photos[3])
    trial = await compare(database, immich)
    assert (trial.figures.photos, trial.figures.left_out) == (2, 2)
    assert trial.figures.scores == (), "nobody has said anything of these photos"
    assert set(await vectors(connection, "tried")) == set(photos[4:])
    own = await connect_to_immich(database)
    await immich.delete_for_good(photos[4])
    await trials.store(own, trial, {photo: (np.ones(2), np.ones(3)) for photo in photos[4:]})
    assert set(await vectors(connection, "tried")) == {photos[5]}, "the other one is gone"
    await immich.delete_for_good(photos[5])
    await trials.forget_gone(own)
    assert tuple(await connection.fetchrow(TABLES)) == (1, 0)
    await hang_up(own)


async def test_a_sample_is_by_chance_and_of_that_size(database, immich: StandIn, connection, owner):
    photos = await library(database, immich, connection, owner, 12)
    samples = []
    for _ in range(4):
        assert (await compare(database, immich, 6)).figures.photos == 6
        samples.append(frozenset(await vectors(connection, "tried")))
    assert len(set(samples)) > 1
    assert frozenset.union(*samples) <= set(photos)


async def test_one_trial_at_a_time(database, immich: StandIn, connection, owner):
    await library(database, immich, connection, owner, 1)
    own = await connect_to_immich(database)
    assert await trials.claim(own)
    with pytest.raises(TrialError, match="another `immich-indexer model try` is at work"):
        await compare(database, immich)
    await hang_up(own)


async def test_a_trial_that_is_broken_off_leaves_nothing(database, immich: StandIn, connection, owner):
    await library(database, immich, connection, owner, 3)
    before, made = await compare(database, immich), Stubs()
    settings = settings_for(database, immich.media.directory)
    work = asyncio.create_task(trying.run(settings, TRIED, tell=lambda *_: work.cancel(), towers=made.towers))
    with pytest.raises(asyncio.CancelledError):
        await work
    assert made.started == [f"image {TRIED}"]
    assert not any(hosted.engine.state.is_ready for hosted in made.hosted)
    assert await trials.read(connection) == before
    assert tuple(await connection.fetchrow(TABLES)) == (1, 3)
    assert (await compare(database, immich)).made_at > before.made_at


async def test_where_nothing_can_be_compared_it_says_why(database, immich: StandIn, connection, owner):
    settings = settings_for(database, immich.media.directory, clip_model=USED)
    async with working(settings, Models(StubClip(f"stub {USED}"), StubOcr(), "cpu"), pace=QUICK):
        with pytest.raises(TrialError, match="no photo has a vector by stub ViT-B-16 yet"):
            await compare(database, immich)
    photos = await library(database, immich, connection, owner, 2)
    same = Towers(lambda _: hosted_clip(StubClip(f"stub {USED}")), lambda _: hosted_text(StubText()))
    with pytest.raises(TrialError, match="stub ViT-B-16 is the model in use"):
        await compare(database, immich, towers=same)
    await immich.describe(photos[0], "海边")
    other = Towers(lambda _: hosted_clip(StubClip("new")), lambda _: hosted_text(StubText("new")))
    with pytest.raises(TrialError, match="ViT-B-16 is new here, and the photos have vectors of stub ViT-B-16"):
        await compare(database, immich, towers=other)
    for photo in photos:
        path = await connection.fetchval(
            "SELECT path FROM asset_file WHERE \"assetId\" = $1 AND type = 'preview'", photo
        )
        immich.media.delete(path)
    with pytest.raises(TrialError, match="no photo can be read: preview missing"):
        await compare(database, immich)
    assert tuple(await connection.fetchrow(TABLES)) == (0, 0)


async def test_immichs_own_model_is_asked_by_its_own_server(database, immich: StandIn, connection, owner):
    photos = [await immich.upload(stubs.picture(number), owner=owner) for number in range(3)]
    for number, photo in enumerate(photos):
        await immich.immich_clip_job(photo, stubs.vector_of(stubs.rgb(number)))
    await immich.describe(photos[0], "海边")
    asked = []

    async def predict(request: web.Request) -> web.Response:
        form = await request.post()
        asked.append((json.loads(str(form["entries"])), form["text"]))
        return web.json_response({"clip": json.dumps(stubs.expected_vector(0).tolist())})

    app = web.Application()
    app.router.add_post("/predict", predict)
    async with TestServer(app) as server:
        known = {"immich_ml_url": f"http://127.0.0.1:9,{server.make_url('/')}", "clip_model": TRIED}
        models = Models(None, StubOcr(), "cpu")
        async with working(settings_for(database, immich.media.directory, **known, tasks="ocr"), models, pace=QUICK):
            await idle(connection)
        await connection.execute("INSERT INTO immich_indexer_3.model (name, state) VALUES ('immich', 'current')")
        with pytest.raises(TrialError, match="Immich's name for it is not known yet"):
            await compare(database, immich, **known)
        await connection.execute("UPDATE immich_indexer_3.model SET setting = 'ViT-B-32__openai'")
        trial = await compare(database, immich, **known)
    entry = {"clip": {"textual": {"modelName": "ViT-B-32__openai", "options": {"language": "zh-CN"}}}}
    assert asked == [(entry, "海边")]
    assert trial.figures.scores[-1].current == 1
    assert (trial.current, trial.figures.current.seconds) == ("immich", None)


async def test_each_is_shown_only_their_own_photos_of_it(database, immich: StandIn, connection, owner):
    other = await immich.create_user("bob")
    photos = await library(database, immich, connection, owner, 5)
    await library(database, immich, connection, other, 3)
    await immich.archive(photos[0])
    trial = await compare(database, immich)
    assert trial.figures.photos == 8
    current, tried = (np.eye(stubs.DIMENSIONS, dtype=np.float32)[number] for number in (0, 1))

    async def shown(**viewer) -> set[UUID]:
        total, ranked = await trials.rank(connection, trial, current, tried, first=100, **viewer)
        assert total == len(ranked)
        return {photo.asset_id for photo in ranked}

    await connection.execute('SET search_path = "$user", public')
    assert await shown(user=owner, owners=[owner]) == set(photos)
    assert await shown(user=owner, owners=[owner], archived=False) == set(photos[1:])
    assert await shown(user=other, owners=[other, owner]) & set(photos) == set(photos[1:]), "a partner's archive"
    await immich.lock(photos[1])
    assert await shown(user=owner, owners=[owner]) == {photos[0], *photos[2:]}, "locked since"
    total, ranked = await trials.rank(connection, trial, current, tried, first=2, user=owner, owners=[owner])
    assert (total, len(ranked) <= 4) == (4, True)
    kept = {name: await vectors(connection, name) for name in ("current", "tried")}
    for photo in ranked:
        assert photo.current == pytest.approx(kept["current"][photo.asset_id][0], abs=1e-3)
        assert photo.tried == pytest.approx(kept["tried"][photo.asset_id][1], abs=1e-3)
    assert sorted(photo.tried_rank for photo in ranked)[:2] == [1, 2]
    with pytest.raises(TrialError, match="meanwhile"):
        await trials.rank(connection, trial, current[:3], tried, first=2)


async def test_the_command_finds_the_better_model(database, immich: StandIn, connection, owner, tmp_path):
    """A model of random weights in use, and one tried that knows what is drawn: real networks in their processes."""
    package = write_package(tmp_path, SIGLIP_2)
    chance = Random(3)
    settings = settings_for(database, immich.media.directory, clip_model=str(package), tasks="clip")
    await immich.change_clip_model(768)
    async with working(settings, await asyncio.to_thread(load_models, settings), pace=QUICK):
        for _ in range(36):
            scene = invent(chance)
            photo = await immich.upload(encoded(draw(scene, 224, 224)), owner=owner)
            await immich.describe(photo, caption(scene, chance).text)
        await idle(connection, 60)
    environment = {
        "DB_URL": database,
        "MEDIA_PATH_MAP": f"/data={immich.media.directory}",
        "CLIP_MODEL": str(package),
        "CPU_THREADS": "2",
        "COLUMNS": "100",
    }

    async def run(*arguments: str, code: int = 0) -> str:
        done = await asyncio.to_thread(CliRunner(env=environment).invoke, main, ["model", "try", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    told = await run(str(WEIGHTS))
    trial = await trials.read(connection)
    assert trial is not None
    whole = trial.figures.scores[-1]
    assert f"R@10, all ({whole.questions})" in told
    assert re.search(rf"{100 * whole.current:.1f} %\s+{100 * whole.tried:.1f} %\s+\+", told), told
    assert whole.tried > 0.9 > 0.6 > whole.current
    assert f"by {whole.questions} descriptions, tags, albums and people: the tried model finds more" in told
    assert f"in use: {trial.current}" in told
    assert f"tried:  {trial.tried}, CLIP_MODEL={WEIGHTS}" in told
    assert "36 photos by chance" in told
    assert "a change would read 36 photos: about" in told
    for cost in (trial.figures.current, trial.figures.tried):
        assert cost.memory is not None
        assert cost.memory > 50e6
        assert f"{cost.memory / 1e6:.0f} MB" in told
    assert "nothing is left of a trial" in await run("--forget")
    assert tuple(await connection.fetchrow(TABLES)) == (0, 0)
    assert "unknown CLIP model 'nothing'" in await run("nothing", code=1)
    assert "say which model to try" in await run(code=2)
    assert "the weights of OWNER/NAME are not there yet" in await run("OWNER/NAME", code=1)
