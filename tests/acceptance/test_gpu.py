"""What a GPU computes is what a processor computes; runs where torch finds one."""

from unicodedata import normalize

import numpy as np
import pytest
import torch

from indexer.demo.pictures import draw_all
from indexer.images import Picture, decode
from indexer.models.clip.cn_clip.on_torch import load_clip
from indexer.models.clip.cn_clip.small import write_small_checkpoint
from indexer.models.ocr.ocr import load_ocr
from indexer.models.runtimes import onnx

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")

TEXTS = ["在海边看日落的一家人", "", "发票", "2025年8月17日 ￥128.50", "a dog on the grass", "很长的一句话" * 30]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Picture]:
    drawn = draw_all(tmp_path_factory.mktemp("pictures"))
    return [decode(picture.path.read_bytes(), max_pixels=100_000_000) for picture in drawn]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same model on a processor and on the GPU."""
    path = tmp_path_factory.mktemp("clip") / "small.pt"
    write_small_checkpoint(path)
    return load_clip(str(path), precision="fp32"), load_clip(str(path), device="cuda")


def test_vectors_are_those_of_a_processor(both, pictures):
    cpu, gpu = both
    assert gpu.precision == {"image": "fp16", "text": "fp16"}
    prepared = [cpu.prepare(picture) for picture in pictures]
    for on_cpu, on_gpu in (
        (cpu.encode_images(prepared), gpu.encode_images(prepared)),
        (cpu.encode_texts(TEXTS), gpu.encode_texts(TEXTS)),
    ):
        assert (on_cpu * on_gpu).sum(axis=1).min() >= 0.9999


def test_a_batch_that_does_not_fit_is_halved(both):
    _, gpu = both
    batch = list(np.random.default_rng(0).standard_normal((4096, 3, gpu.resolution, gpu.resolution), dtype=np.float32))
    whole = gpu.encode_images(batch)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    gpu.encode_images(batch[:64])
    few = torch.cuda.max_memory_allocated()  # more than the model by itself takes, less than all of the batch does
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2 * few / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.from_numpy(np.stack(batch)).to("cuda")
        halved = gpu.encode_images(batch)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (whole * halved).sum(axis=1).min() >= 0.9999


@pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnx.onnxruntime.get_available_providers(), reason="this ONNX Runtime has no CUDA"
)
def test_lines_are_those_of_a_processor(pictures, caplog):
    on_cpu, on_gpu = (load_ocr(device=device).read(pictures[:8]) for device in ("cpu", "cuda"))
    assert not caplog.records  # no model fell back to the processor
    # How far a line is padded may decide about a space, or whether a colon is a wide one.
    texts = [
        {"".join(normalize("NFKC", line.text).split()) for lines in read for line in lines} for read in (on_cpu, on_gpu)
    ]
    assert len(texts[0] & texts[1]) > 0.95 * len(texts[0] | texts[1])
    for ours, theirs in zip(on_cpu, on_gpu, strict=True):
        if [line.text for line in ours] == [line.text for line in theirs]:
            corners = [np.array([line.corners for line in lines]).reshape(-1, 8) for lines in (ours, theirs)]
            assert np.abs(corners[0] - corners[1]).max(initial=0) < 0.01
