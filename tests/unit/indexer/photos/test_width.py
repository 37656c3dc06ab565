"""What people are told about the width of Immich's vector column."""

import re

import pytest

from indexer.models.clip.package.immich_names import DIMENSIONS
from indexer.photos.width import MODEL_NAMES, advice


def test_the_models_named_are_immichs():
    assert {name: width for width, name in MODEL_NAMES.items()}.items() <= DIMENSIONS.items()
    assert set(MODEL_NAMES) == set(DIMENSIONS.values())


@pytest.mark.parametrize(
    ("width", "dimensions", "said"),
    [
        (1024, 512, None),
        (1536, 1024, None),
        (512, 768, "512, but the CLIP model needs 768"),
        (
            1536,
            2048,
            "needs 2048: no model of Immich's has so many: choose a CLIP_MODEL with at most 1536",
        ),
        (768, 768, r"no dimensions are left for words.* choose ViT-gopt-16-SigLIP2-384__webli \(1536\) as CLIP model"),
        (512, 512, r"choose XLM-Roberta-Large\S+ \(1024\), ViT-SO400M\S+ \(1152\), ViT-gopt\S+ \(1536\) as CLIP model"),
        (1152, 1152, r"choose ViT-gopt-16-SigLIP2-384__webli \(1536\) as CLIP model"),
        (1536, 1152, "383 dimensions are left.* Immich has no wider column: only a CLIP_MODEL with fewer dimensions"),
        (1536, 1536, "no dimensions are left.* Immich has no wider column"),
    ],
)
def test_advice(width, dimensions, said):
    found = advice(width, dimensions)
    assert found is None if said is None else re.search(said, found or "")
