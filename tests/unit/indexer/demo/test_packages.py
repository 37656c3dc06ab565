"""The demo's CLIP model as a package in Immich's layout: the same tokens, vectors and photos found."""

import numpy as np
import pytest

from indexer.demo.drawn import WEIGHTS
from indexer.demo.packages import cn_clip
from indexer.demo.shapes import SEARCHES, draw_shapes, shown_by
from indexer.images import decode
from indexer.models.clip.cn_clip.on_torch import load_clip, tokenize
from indexer.models.clip.cn_clip.small import small_config, write_random_checkpoint
from indexer.models.clip.makers import maker_of
from indexer.models.clip.names import is_demo
from indexer.models.clip.package.layout import Package
from indexer.models.clip.package.tokens import PackageTokens

TEXTS = [
    *("海边日落", "", "The PHOTO, at sunset!", "  两只猫\t和\n狗 ", "Straße & été", "写真かな"),
    *("a\u00a0b\u3000c", "票" * 300, "👪\ufffd", *(said.text for said in SEARCHES)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return cn_clip.write_package(WEIGHTS, tmp_path_factory.mktemp("packages") / "demo")


def tower(folder, half):
    return maker_of(str(folder)).open(half, str(folder), folder, device="cpu", precision="auto", threads=1).model


def pixels(side):
    return list(np.random.default_rng(0).standard_normal((3, 3, side, side)).astype(np.float32))


def test_tokens_and_vectors_are_cn_clips(folder):
    tokens, _ = PackageTokens(Package(folder))(TEXTS)
    assert np.array_equal(tokens, tokenize(TEXTS))
    clip = load_clip(str(WEIGHTS), precision="fp32")
    texts, images = tower(folder, "text"), tower(folder, "image")
    assert (texts.encode_texts(TEXTS) * clip.encode_texts(TEXTS)).sum(axis=1).min() > 0.99999
    assert (images.encode_images(pixels(64)) * clip.encode_images(pixels(64))).sum(axis=1).min() > 0.99999


def test_a_vision_transformer_too(tmp_path):
    config = small_config(64)
    del config["vision_head_width"]  # as in cn_clip's own models
    write_random_checkpoint(tmp_path / "small.pt", config)
    folder = cn_clip.write_package(tmp_path / "small.pt", tmp_path / "small", batch=1, external=True)
    clip = load_clip(str(tmp_path / "small.pt"), precision="fp32")
    found = tower(folder, "image").encode_images(pixels(224))
    assert (found * clip.encode_images(pixels(224))).sum(axis=1).min() > 0.99999
    assert (folder / "visual" / "model.onnx.data").is_file()


def test_it_finds_the_same_photos_and_says_what_it_is(folder, tmp_path):
    drawn = draw_shapes(tmp_path)
    images, texts = tower(folder, "image"), tower(folder, "text")
    pictures = [decode(picture.path.read_bytes(), max_pixels=10**7) for picture in drawn]
    vectors = images.encode_images([images.preparation(picture) for picture in pictures])
    for said in SEARCHES:
        expected = shown_by(said)
        order = (texts.encode_texts([said.text]) @ vectors.T)[0].argsort()[::-1]
        assert {drawn[at].path.name for at in order[: len(expected)]} == set(expected), said.text
    assert is_demo(images.name)
