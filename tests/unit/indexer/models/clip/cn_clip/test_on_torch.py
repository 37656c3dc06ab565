"""Against cn_clip's own functions: the same model, the same pictures, the same texts."""

import contextlib
import io
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from indexer.errors import IndexerError, SettingsError, WeightsError
from indexer.images import Picture, decode
from indexer.models.clip.cn_clip import on_torch as clip_module
from indexer.models.clip.cn_clip.checkpoint import open_checkpoint
from indexer.models.clip.cn_clip.imported import import_cn_clip
from indexer.models.clip.cn_clip.on_torch import Clip, load_clip, tokenize
from indexer.models.clip.cn_clip.small import small_config, write_random_checkpoint, write_small_checkpoint
from indexer.models.clip.names import is_demo
from indexer.models.runtimes.device import fastest_format, resolve_device
from tests.support.torchvision import give_cn_clip_torchvision

VISION, TEXT = "ViT-B-32", "RBT3-chinese"

TEXTS = [
    "在海边看日落的一家人",
    "",
    "发票",
    "2025年8月17日 ￥128.50",
    "a dog on the grass",
    "🐱🐶 表情",
    "很长的一句话" * 30,
    "\u0000\ufffd\n\t ",
    "繁體字與异体字",
]


def packaged(*names: str) -> dict:
    import_cn_clip()
    import json

    import cn_clip.clip

    folder = Path(cn_clip.clip.__file__).parent / "model_configs"
    config = {}
    for name in names:
        config |= json.loads((folder / f"{name}.json").read_text())
    return config


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """Random weights in the shape of one of cn_clip's packaged configurations, as cn_clip writes them."""
    path = tmp_path_factory.mktemp("clip") / "random.pt"
    write_random_checkpoint(path, packaged(VISION, TEXT))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """For what does not depend on the shape."""
    path = tmp_path_factory.mktemp("clip") / "small.pt"
    write_small_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def oracle(checkpoint):
    """cn_clip's own model and preprocessing."""
    give_cn_clip_torchvision()
    from cn_clip.clip import load_from_name

    with contextlib.redirect_stdout(io.StringIO()):
        model, preprocess = load_from_name(
            str(checkpoint), device="cpu", vision_model_name=VISION, text_model_name=TEXT, input_resolution=224
        )
    return model.eval(), preprocess


@pytest.fixture(scope="module", params=["fp32", "bf16", "fp16"])
def clip(request, checkpoint) -> Clip:
    return load_clip(str(checkpoint), precision=request.param)


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    """JPEGs of several kinds: smooth, noisy, a page of lines, extreme proportions, one pixel."""
    random = np.random.default_rng(1)
    smooth = Image.fromarray(random.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((1920, 1440), 3)
    noisy = Image.fromarray(random.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    page = Image.new("RGB", (900, 1200), "white")
    for y in range(40, 1160, 36):
        ImageDraw.Draw(page).text((50, y), "Lorem ipsum dolor sit amet " * 3, fill="black")
    long = noisy.resize((2000, 40)).filter(ImageFilter.GaussianBlur(2))
    encoded = []
    for image in (
        smooth,
        noisy,
        page,
        long,
        Image.new("RGB", (1, 1), "red"),
        noisy.convert("L"),
        noisy.convert("CMYK"),
    ):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        encoded.append(file.getvalue())
    return encoded


def picture(data: bytes) -> Picture:
    return decode(data, max_pixels=10**8)


def normalised(vectors: torch.Tensor) -> np.ndarray:
    return (vectors / vectors.norm(dim=-1, keepdim=True)).numpy()


def test_prepare_equals_cn_clips_transform(oracle, checkpoint, files):
    _, preprocess = oracle
    clip = load_clip(str(checkpoint), towers=())
    for data in files:
        expected = preprocess(Image.open(io.BytesIO(data)).convert("RGB")).numpy()
        prepared = clip.prepare(picture(data))
        assert prepared.shape == (3, 224, 224)
        assert prepared.dtype == np.float32
        np.testing.assert_allclose(prepared, expected, rtol=0, atol=1e-6)


def test_images_as_cn_clip_encodes_them(clip, oracle, files):
    model, preprocess = oracle
    if clip.precision["image"] != "fp32":
        files = files[:3]  # slow on a processor that does not know the format
    with torch.inference_mode():
        batch = torch.stack([preprocess(Image.open(io.BytesIO(data))) for data in files])
        expected = normalised(model.encode_image(batch))
    vectors = clip.encode_images([clip.prepare(picture(data)) for data in files])
    assert vectors.shape == (len(files), 512)
    assert vectors.dtype == np.float32
    assert (vectors * expected).sum(axis=1).min() >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_texts_as_cn_clip_encodes_them(clip, oracle):
    model, _ = oracle
    with torch.inference_mode():
        expected = normalised(model.encode_text(tokenize(TEXTS)))
    vectors = clip.encode_texts(TEXTS)
    assert (vectors * expected).sum(axis=1).min() >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("clip", ["fp32", "bf16"], indirect=True)
def test_a_text_has_one_vector_whatever_its_company(clip):
    together = clip.encode_texts(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        assert float(clip.encode_texts([text])[0] @ vector) >= 0.9999


@pytest.mark.parametrize("clip", ["fp32"], indirect=True)
def test_more_texts_than_one_batch_keep_their_order(clip):
    texts = [f"照片{number}" * (1 + number % 7) for number in range(70)]
    vectors = clip.encode_texts(texts)
    for number in (0, 33, 69):
        assert float(clip.encode_texts([texts[number]])[0] @ vectors[number]) >= 0.9999


def test_nothing_in_nothing_out(clip):
    assert clip.encode_images([]).shape == (0, 512)
    assert clip.encode_texts([]).shape == (0, 512)


@pytest.mark.parametrize("clip", ["fp32"], indirect=True)
def test_from_several_threads_at_once(clip, files):
    prepared = [clip.prepare(picture(files[0]))]
    expected = clip.encode_images(prepared)
    results = {}

    def work(number: int) -> None:
        results[number] = clip.encode_images(prepared)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results.values():
        assert (result * expected).sum(axis=1).min() >= 0.9999


@pytest.mark.parametrize("fastest", ["bf16", "fp16"])
def test_auto_is_the_fastest_format_if_the_weights_stay_equal(small, monkeypatch, fastest):
    monkeypatch.setattr(clip_module, "fastest_format", lambda rows: fastest)
    monkeypatch.setattr(clip_module, "EQUAL", 1.1)
    assert load_clip(str(small)).precision == {"image": "fp32", "text": "fp32"}
    monkeypatch.setattr(clip_module, "EQUAL", -1.0)
    assert load_clip(str(small)).precision == {"image": fastest, "text": fastest}


def test_a_format_the_processor_lacks_is_never_the_fastest(monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    fastest_format.cache_clear()
    assert fastest_format(14) == "fp32"
    fastest_format.cache_clear()


def test_only_the_halves_asked_for(small, files):
    texts = load_clip(str(small), towers=("text",))
    assert texts.encode_texts(["猫"]).shape == (1, 512)
    with pytest.raises(IndexerError, match=r"image half .* not loaded"):
        texts.encode_images([texts.prepare(picture(files[0]))])


def test_loading_and_encoding_print_nothing(small, capfd):
    load_clip(str(small)).encode_texts(["猫"])
    assert capfd.readouterr() == ("", "")


def test_name_is_of_the_weights(tmp_path):
    write_small_checkpoint(tmp_path / "a.pt")
    write_small_checkpoint(tmp_path / "b" / "a.pt")
    write_small_checkpoint(tmp_path / "c" / "a.pt", seed=1)
    first, same, other = (load_clip(str(tmp_path / path), towers=()).name for path in ("a.pt", "b/a.pt", "c/a.pt"))
    assert first == same
    assert first.startswith("cn-clip a ")
    assert is_demo(first), "random weights"
    assert first != other


@pytest.mark.parametrize("dimensions", [512, 768])
def test_small_model_tells_things_apart(tmp_path, files, dimensions):
    write_small_checkpoint(tmp_path / "small.pt", dimensions=dimensions)
    assert (tmp_path / "small.pt").stat().st_size < 12_000_000
    clip = load_clip(str(tmp_path / "small.pt"))
    assert clip.dimensions == dimensions
    vectors = clip.encode_images([clip.prepare(picture(data)) for data in files[:4]])
    assert (vectors @ vectors.T)[~np.eye(4, dtype=bool)].max() < 0.999
    words = clip.encode_texts(["猫", "发票", "日落"])
    assert (words @ words.T)[~np.eye(3, dtype=bool)].max() < 0.999


def test_out_of_memory_halves_the_batch(files):
    sizes = []

    class Scarce(torch.nn.Module):
        def forward(self, batch):
            sizes.append(len(batch))
            if len(batch) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return batch.flatten(1)[:, :512]

    clip = Clip("a model", 512, 224, {"image": Scarce()}, {"image": "fp32"}, "cpu")
    prepared = [clip.prepare(picture(data)) for data in files[:5]]
    expected = np.stack([one.ravel()[:512] / np.linalg.norm(one.ravel()[:512]) for one in prepared])
    assert (clip.encode_images(prepared) * expected).sum(axis=1).min() >= 0.9999
    assert sizes == [5, 2, 3, 1, 2]


def test_out_of_memory_for_one_picture_is_an_error(files):
    class Full(torch.nn.Module):
        def forward(self, batch):
            raise torch.OutOfMemoryError("CUDA out of memory")

    clip = Clip("a model", 512, 224, {"image": Full()}, {"image": "fp32"}, "cpu")
    with pytest.raises(torch.OutOfMemoryError):
        clip.encode_images([clip.prepare(picture(files[0]))])


def test_vectors_that_are_not_finite_are_an_error(clip):
    with pytest.raises(IndexerError, match="not finite"):
        clip.encode_images([np.full((3, 224, 224), np.nan, dtype=np.float32)])


class TestCheckpoint:
    def test_missing_file(self, tmp_path):
        with pytest.raises(WeightsError, match=r"gone\.pt does not exist"):
            load_clip(str(tmp_path / "gone.pt"))

    def test_unknown_name(self, tmp_path):
        with pytest.raises(WeightsError, match=r"unknown CLIP model 'ViT-X'.*ViT-B-16"):
            load_clip("ViT-X", download_root=tmp_path)

    def test_named_model_that_is_not_there(self, tmp_path):
        with pytest.raises(WeightsError, match=r"clip_cn_vit-b-16\.pt"):
            load_clip("ViT-B-16", download_root=tmp_path)

    def test_named_model_that_is_not_genuine(self, tmp_path):
        (tmp_path / "clip_cn_rn50.pt").write_bytes(b"something else")
        with pytest.raises(WeightsError, match="not what was published"):
            load_clip("RN50", download_root=tmp_path)

    def test_without_its_configuration(self, tmp_path):
        write_small_checkpoint(tmp_path / "small.pt")
        (tmp_path / "small.json").unlink()
        with pytest.raises(WeightsError, match=r"small\.json"):
            load_clip(str(tmp_path / "small.pt"))

    @pytest.mark.parametrize("text", ["{", "[]", '{"embed_dim": 512}', '{"nonsense": 1}'])
    def test_unusable_configuration(self, tmp_path, text):
        write_small_checkpoint(tmp_path / "small.pt")
        (tmp_path / "small.json").write_text(text)
        with pytest.raises(WeightsError, match=r"configuration|JSON"):
            load_clip(str(tmp_path / "small.pt"))

    def test_configuration_of_another_model(self, tmp_path):
        write_small_checkpoint(tmp_path / "small.pt")
        (tmp_path / "small.json").write_text(__import__("json").dumps(small_config(768)))
        with pytest.raises(WeightsError, match="does not fit its configuration"):
            load_clip(str(tmp_path / "small.pt"))

    @pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
    def test_damaged(self, tmp_path, content):
        write_small_checkpoint(tmp_path / "small.pt")
        (tmp_path / "small.pt").write_bytes(content)
        with pytest.raises(WeightsError, match="damaged"):
            load_clip(str(tmp_path / "small.pt"))

    def test_no_state_dict(self, tmp_path):
        write_small_checkpoint(tmp_path / "small.pt")
        torch.save({"weights": 1}, tmp_path / "small.pt")
        with pytest.raises(WeightsError, match="state_dict"):
            load_clip(str(tmp_path / "small.pt"))

    def test_code_in_the_file_is_not_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "ran",))

        write_small_checkpoint(tmp_path / "small.pt")
        torch.save({"state_dict": Evil()}, tmp_path / "small.pt")
        with pytest.raises(WeightsError, match="damaged or no torch checkpoint"):
            load_clip(str(tmp_path / "small.pt"))
        assert not (tmp_path / "ran").exists()

    def test_prefix_of_distributed_training(self, tmp_path):
        write_small_checkpoint(tmp_path / "small.pt")
        state = open_checkpoint(str(tmp_path / "small.pt"), None).tensors()
        expected = load_clip(str(tmp_path / "small.pt")).encode_texts(["猫"])
        torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "module.pt")
        (tmp_path / "small.json").rename(tmp_path / "module.json")
        np.testing.assert_allclose(load_clip(str(tmp_path / "module.pt")).encode_texts(["猫"]), expected, atol=1e-6)

    def test_configurations_of_all_published_models_build(self):
        import_cn_clip()
        from cn_clip.clip.model import CLIP

        from indexer.models.clip.cn_clip.shapes import packaged_config
        from indexer.models.clip.cn_clip.weights import FILES

        for model in FILES:
            with torch.device("meta"):
                CLIP(**packaged_config(model))


def test_neither_torchs_compiler_nor_torchvision_is_loaded(small):
    """They take 160 MB and two seconds."""
    script = f"""
import sys
import numpy as np
from indexer.models.clip.cn_clip.on_torch import load_clip
clip = load_clip({str(small)!r}, threads=1)
clip.encode_texts(["猫"])
clip.encode_images([np.zeros((3, clip.resolution, clip.resolution), np.float32)])
print(*sys.modules)"""
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "cn_clip.clip" in loaded
    assert not {"sympy", "torch._dynamo", "torchvision"}.intersection(loaded)


class TestDevice:
    def test_resolve(self):
        assert resolve_device("auto") == resolve_device("cpu") == "cpu"
        with pytest.raises(SettingsError, match="'cuda' was asked for"):
            resolve_device("cuda")

    def test_unknown(self):
        with pytest.raises(SettingsError, match="unknown device 'gpu'"):
            resolve_device("gpu")
