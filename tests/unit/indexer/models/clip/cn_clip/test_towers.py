"""How the towers of Chinese-CLIP are loaded: with the same numbers in less memory."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from indexer.models.clip.cn_clip.checkpoint import open_checkpoint
from indexer.models.clip.cn_clip.on_torch import load_clip
from indexer.models.clip.cn_clip.small import small_config, write_random_checkpoint
from indexer.models.clip.cn_clip.towers import in_fp32, load_tower, widen

RESIDUAL = {"vision_layers": [1, 2, 1, 1], "vision_width": 16, "vision_patch_size": None}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """Of 25 million numbers in its image tower."""
    path = tmp_path_factory.mktemp("towers") / "middle.pt"
    write_random_checkpoint(path, {**small_config(), "vision_width": 512, "vision_layers": 8})
    return path


@pytest.mark.parametrize("tower", ["image", "text"])
@pytest.mark.parametrize("shape", [{}, RESIDUAL], ids=["transformer", "residual"])
def test_a_tower_stored_in_fp16_computes_in_fp32_and_is_as_before(tmp_path, tower, shape):
    write_random_checkpoint(tmp_path / "small.pt", {**small_config(), **shape})
    opened = open_checkpoint(str(tmp_path / "small.pt"), None)
    generator = torch.Generator().manual_seed(0)
    given = torch.randn((2, 3, 224, 224), generator=generator) if tower == "image" else torch.tensor([[101, 5, 102]])
    stored, wide = load_tower(tower, opened, "cpu"), load_tower(tower, opened, "cpu")
    widen(wide.parameters())
    with torch.inference_mode():
        with in_fp32(stored):
            assert torch.equal(stored(given), wide(given))
        widen(stored.parameters())
        assert torch.equal(stored(given), wide(given))


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_to_load_a_tower_takes_little_more_memory_than_to_have_it(checkpoint, precision):
    script = f"""
import torch
from pathlib import Path
from indexer import allocator
from indexer.models.clip.cn_clip.on_torch import load_clip
from indexer.models.clip.cn_clip.imported import import_cn_clip
allocator.return_large()
import_cn_clip()
clip = load_clip({str(checkpoint)!r}, precision={precision!r}, towers=("image",), threads=1)
print(Path("/proc/self/status").read_text())"""
    status = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    most, now = (int(re.findall(rf"{name}:\s+(\d+)", status)[0]) / 1024 for name in ("VmHWM", "VmRSS"))
    assert most - now < 25, "the mapped file alone has 50 MB of it"


def test_a_file_of_an_old_format_which_cannot_be_mapped(tmp_path, checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "old.json").write_bytes(checkpoint.with_suffix(".json").read_bytes())
    picture = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    old, new = (load_clip(str(path), precision="fp32", towers=("image",)) for path in (tmp_path / "old.pt", checkpoint))
    np.testing.assert_array_equal(old.encode_images(list(picture)), new.encode_images(list(picture)))
