"""The packages that `bench models` measures, made small: each is a package in Immich's layout that we can load."""

from dataclasses import replace

import numpy as np
import pytest

from bench.models import _compare
from bench.packages import SHAPES, Transformer, write_package
from indexer.models.clip.makers import maker_of
from indexer.models.clip.package.layout import Package


def small(network: Transformer) -> Transformer:
    return replace(network, width=16, layers=1, heads=2, inner=32)


@pytest.mark.parametrize("name", SHAPES)
def test_a_package_of_that_shape(name, tmp_path):
    real = SHAPES[name]
    shape = replace(
        real,
        side=2 * real.patch,
        vocabulary=300,
        image=small(real.image),
        text=small(real.text),
        middle=real.middle and 8,
    )
    folder = write_package(tmp_path, shape)
    texts, images = (
        maker_of(str(folder)).open(tower, str(folder), folder, device="cpu", precision="auto", threads=1).model
        for tower in ("text", "image")
    )
    asked = ["海边日落", "红色的猫", ""]
    vectors = texts.encode_texts(asked, "zh-CN")
    assert vectors.shape == (3, real.dimensions)
    assert max(vectors[0] @ vectors[1], vectors[0] @ vectors[2]) < 0.999, "each text has a vector of its own"
    pixels = np.random.default_rng(0).standard_normal((3, 3, shape.side, shape.side)).astype(np.float32)
    seen = images.encode_images(list(pixels))
    assert seen.shape == (3, real.dimensions)
    assert max(seen[0] @ seen[1], seen[0] @ seen[2]) < 0.999
    assert Package(folder).context == real.context
    assert (folder / "visual" / "model.onnx.data").exists() == real.external


def test_sides_that_do_different_work_are_not_compared():
    same, other = [3.0, 4.0], [4.0, 3.0]
    _compare({"ours": same, "immich": [0.6, 0.8]})
    _compare({"ours": other, "ours_as_package": same, "immich": same})
    with pytest.raises(RuntimeError, match="differ"):
        _compare({"ours": other, "immich": same})
