"""The demo's own CLIP model: it finds what it was not shown in training, and says everywhere what it is."""

import json
from itertools import pairwise
from random import Random

import pytest
import torch
from structlog.testing import capture_logs

from indexer.demo.drawn import NOTE, WEIGHTS
from indexer.demo.drawn.captions import caption, name
from indexer.demo.drawn.scenes import HELD_OUT, draw, encoded, invent, twin
from indexer.demo.drawn.things import COLOURS, THINGS
from indexer.demo.drawn.train import CONFIG, Words, evaluate, held_out_pool, pairs_of_scenes, rendered, save, train
from indexer.demo.shapes import SEARCHES, draw_shapes, shown_by
from indexer.images import decode
from indexer.models.clip.cn_clip.on_torch import load_clip, tokenize
from indexer.models.clip.names import is_demo
from indexer.models.load import load_text_tower
from indexer.work import doctor
from tests.support.workers import settings_for

NO_DATABASE = "postgresql://127.0.0.1:1/immich"


@pytest.fixture(scope="module")
def clip():
    return load_clip(str(WEIGHTS))


def test_each_held_out_caption_finds_its_picture_among_two_hundred(clip):
    figures = evaluate(clip, pools=2)
    assert (figures["pool"], figures["pools"]) == (200, 2)
    assert figures["top1"] >= 0.9
    assert figures["picture_top1"] >= 0.9


def test_of_no_use_would_be_a_pool_that_it_was_trained_on():
    trained = {group.pair for scene in pairs_of_scenes(Random(3), 2000) for group in scene.groups}
    assert not trained & HELD_OUT
    assert len(trained) == len(THINGS) * len(COLOURS) - len(HELD_OUT), "all others"
    scenes, captions = held_out_pool(Random(4), 200)
    assert all(scene.groups[0].pair in HELD_OUT for scene in scenes)
    assert len({caption.text for caption in captions}) == 200
    for at, said in enumerate(captions):
        assert [scene for scene in scenes if said.true_of(scene)] == [scenes[at]], said.text


@pytest.mark.parametrize("held_out", [False, True])
def test_captions_are_true(held_out):
    chance = Random(5)
    for _ in range(300):
        scene = invent(chance, held_out=held_out)
        for said in (caption(scene, chance), caption(scene, chance, whole=True), name(scene, chance)):
            assert said.true_of(scene), said.text
            assert said.text
            assert len(said.facts) <= len(scene.facts())


def test_a_caption_says_what_its_facts_say():
    chance = Random(6)
    for _ in range(300):
        scene = invent(chance)
        said = caption(scene, chance)
        for fact in said.facts:
            if fact[0] == "count":
                assert "零一两三四"[int(str(fact[3]))] in said.text
            if fact[0] in ("place", "at"):
                assert str(fact[-1]) in said.text


def test_twins_show_the_same_things():
    chance = Random(7)
    scenes = pairs_of_scenes(chance, 200)
    for scene, other in list(pairwise(scenes))[::2]:
        if scene.groups:
            assert {group.thing for group in scene.groups} == {group.thing for group in other.groups}
    assert twin(scenes[0], Random(1)) == twin(scenes[0], Random(1))


def test_the_same_pictures_each_time():
    scene = invent(Random(8))
    assert encoded(draw(scene, 200, 150)) == encoded(draw(scene, 200, 150))
    assert draw(scene, 200, 150).size == (200, 150)


def test_things_stay_inside_their_picture():
    chance = Random(9)
    for _ in range(60):
        scene = invent(chance)
        for group in scene.groups:
            assert all(0 < x < 1 and 0 < y < 1 for x, y in group.points)


def test_words_are_numbered_as_cn_clip_has_them():
    texts = ["草地上，红色的圆在蓝色的树的左边", "两艘船"]
    words = Words(texts)
    ids = torch.tensor(words._ids)
    for text in texts:
        tokens = tokenize([text])[0]
        assert ids[words([text])[0]].tolist() == tokens[tokens.ne(0)].tolist()
    assert words(texts)[1].tolist()[-1] == 0, "padding"
    table = words.whole_table(torch.ones(len(words), CONFIG["text_hidden_size"]))
    assert table.shape == (CONFIG["vocab_size"], CONFIG["text_hidden_size"])
    assert sorted(table.any(dim=1).nonzero().flatten().tolist()) == sorted(words._ids)


def test_training_makes_a_checkpoint_that_loads(tmp_path):
    """The script's own steps, on a few pictures; how good the result of all of them is, is tested above."""
    chance = Random(0)
    scenes = pairs_of_scenes(chance, 64)
    for state in train(scenes, rendered(scenes, chance), chance, epochs=1):
        save(state, tmp_path / "new.pt")
    assert json.loads((tmp_path / "new.json").read_text("utf-8")) == CONFIG
    clip = load_clip(str(tmp_path / "new.pt"))
    assert clip.encode_texts(["红色的圆"]).shape == (1, CONFIG["embed_dim"])
    assert evaluate(clip, pools=1, pool=20)["top1"] < 0.9, "two steps are no training"


def test_what_the_demo_asks_for_is_on_top(clip, tmp_path):
    drawn = draw_shapes(tmp_path)
    pictures = [decode(picture.path.read_bytes(), max_pixels=10**7) for picture in drawn]
    vectors = clip.encode_images([clip.prepare(picture) for picture in pictures])
    for said in SEARCHES:
        expected = shown_by(said)
        order = (clip.encode_texts([said.text]) @ vectors.T)[0].argsort()[::-1]
        assert expected, said.text
        assert {drawn[at].path.name for at in order[: len(expected)]} == set(expected), said.text


async def test_nobody_takes_it_for_a_model_of_photographs(tmp_path):
    settings = settings_for(NO_DATABASE, tmp_path, tasks="clip", clip_model=str(WEIGHTS))
    findings = await doctor.examine(settings)
    (found,) = [finding for finding in findings if finding.check == "weights"]
    assert found.verdict == "fails"
    assert NOTE in found.text
    assert "CLIP_MODEL=ViT-B-16" in found.text
    with capture_logs() as logs:
        clip = load_text_tower(settings)
    assert is_demo(clip.name)
    [warning] = [entry for entry in logs if entry["log_level"] == "warning"]
    assert clip.name in warning["advice"]
    assert "CLIP_MODEL=ViT-B-16" in warning["advice"]


async def test_not_under_another_name_either(tmp_path):
    (tmp_path / "ViT-B-16.pt").write_bytes(WEIGHTS.read_bytes())
    (tmp_path / "ViT-B-16.json").write_bytes(WEIGHTS.with_suffix(".json").read_bytes())
    settings = settings_for(NO_DATABASE, tmp_path, tasks="clip", clip_model=str(tmp_path / "ViT-B-16.pt"))
    (found,) = [finding for finding in await doctor.examine(settings) if finding.check == "weights"]
    assert (found.verdict, NOTE in found.text) == ("fails", True)


def test_it_is_small():
    assert WEIGHTS.stat().st_size < 6_000_000
