"""CLIP packages in Immich's layout: tokens, pixels and vectors as Immich's own server makes them of the same files."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from indexer.errors import WeightsError
from indexer.images import Picture
from indexer.models import memory
from indexer.models.clip import makers
from indexer.models.clip.cn_clip import on_torch as clip
from indexer.models.clip.cn_clip.small import write_small_checkpoint
from indexer.models.clip.maker import ImageTower, Precision, TextTower
from indexer.models.clip.makers import maker_of
from indexer.models.clip.names import is_demo
from indexer.models.clip.package.immich_names import DIMENSIONS
from indexer.models.clip.package.layout import Package
from indexer.models.clip.package.maker import Packages
from indexer.models.clip.package.tokens import PackageTokens, flores
from indexer.models.load import Models, load_models, load_text_tower, model_names, start_text
from indexer.models.pixels import Cropped
from indexer.models.runtimes import onnx as onnx_sessions
from indexer.models.runtimes import onnx_weights, openvino
from indexer.settings import Settings
from tests.support import hosts, packages
from tests.support.packages import FG_CLIP_2, M_CLIP, NLLB, SHAPES, SIGLIP_2, XLM_R, Shape
from tests.support.poor_openvino import poor_session
from tests.support.third_maker import Third

TEXTS = [
    *("海边日落", "", "The PHOTO, at sunset!", "  两只猫\t和\n狗 ", "Straße & été", "写真かな"),
    *("a\u00a0b\u3000c", "票" * 300, "👪\ufffd"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder with every package."""
    folder = tmp_path_factory.mktemp("packages")
    for shape in SHAPES:
        packages.write_package(folder, shape)
    return folder


def text_tower(folder: Path, precision: Precision = "auto", root: Path = Path()) -> TextTower:
    return maker_of(str(folder)).open("text", str(folder), root, device="cpu", precision=precision, threads=1).model


def image_tower(folder: Path, precision: Precision = "auto", root: Path = Path()) -> ImageTower:
    return maker_of(str(folder)).open("image", str(folder), root, device="cpu", precision=precision, threads=1).model


def bare(folder: Path, part: str, **inputs: np.ndarray) -> np.ndarray:
    """What ONNX Runtime alone makes of one row, made to length 1."""
    session = onnxruntime.InferenceSession(folder / part / "model.onnx", providers=["CPUExecutionProvider"])
    vector = session.run(None, inputs)[0][0]
    return vector / np.linalg.norm(vector)


def picture(width: int, height: int) -> Picture:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Picture(pixels)


class TestTokens:
    def test_a_canonical_text_is_lower_case_without_ascii_punctuation(self, root):
        tokens = PackageTokens(Package(root / SIGLIP_2.name))
        assert tokens.cleaned("  The PHOTO,\t(at) sun-set!  “x” ，", None) == "the photo at sunset “x” ，"
        assert PackageTokens(Package(root / XLM_R.name)).cleaned(" The  PHOTO, ", None) == "The PHOTO,"

    def test_gemmas(self, root):
        tokens = PackageTokens(Package(root / SIGLIP_2.name))
        vocabulary = json.loads((root / SIGLIP_2.name / "textual" / "tokenizer.json").read_text())["model"]["vocab"]
        pieces = ["海边", "日落", "▁the", *(f"<0x{byte:02X}>" for byte in "和".encode()), "<eos>"]
        (ids,), (mask,) = tokens(["海边日落 THE和"])
        assert ids.dtype == np.int32
        assert list(ids) == [vocabulary[piece] for piece in pieces] + [0] * (64 - len(pieces))
        assert list(mask) == [1] * len(pieces) + [0] * (64 - len(pieces))

    def test_xlm_rs_begin_and_end_and_are_cut_to_the_context(self, root):
        tokens = PackageTokens(Package(root / XLM_R.name))
        ids, _ = tokens(["", "票" * 300])
        assert list(ids[0]) == [0, 2] + [1] * 75  # <s> </s> <pad>
        assert (ids[1][0], ids[1][-1], len(ids[1])) == (0, 2, 77)

    def test_nllbs_begin_with_the_language_of_the_question(self, root):
        tokens = PackageTokens(Package(root / NLLB.name))
        number = tokens._tokenizer.token_to_id
        english, chinese = number("eng_Latn"), number("zho_Hans")
        assert tokens.cleaned(" 海边  日落", "zh-CN") == "zho_Hans海边 日落"
        assert list(tokens(["海边"])[0][0][:2]) != [english, chinese]
        assert list(tokens(["海边"], "zh-CN")[0][0][:2]) == [english, chinese]
        assert PackageTokens(Package(root / XLM_R.name)).cleaned("海边", "zh-CN") == "海边"

    @pytest.mark.parametrize(
        ("language", "token"),
        [
            ("zh-CN", "zho_Hans"),
            ("zh-TW", "zho_Hant"),
            ("de-CH", "deu_Latn"),
            ("pt-BR", "por_Latn"),
            ("xx", "eng_Latn"),
        ],
    )
    def test_languages_as_immich_names_them(self, language, token):
        assert flores(language) == token


def scaled_whole(one: Picture, side: int) -> np.ndarray:
    """The middle of the picture, as Immich's server cuts it out after scaling all of it, first across."""
    image = Image.fromarray(one.rgb)
    across, down = image.size
    width, height = (side, int(down / across * side)) if across < down else (int(across / down * side), side)
    left, top = (width - side) // 2, (height - side) // 2
    scaled = image.resize((width, down), Image.Resampling.BICUBIC)
    whole = scaled.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(whole)[top : top + side, left : left + side]


class TestPixels:
    @pytest.mark.parametrize(
        ("size", "side"),
        [
            *(((40, 30), 32), ((30, 40), 32), ((33, 33), 32), ((300, 7), 32), ((7, 301), 32), ((1, 1), 32)),
            *(((333, 777), 224), ((1440, 1080), 224), ((810, 1440), 256), ((1441, 1079), 512), ((9000, 2), 224)),
        ],
    )
    def test_the_middle_of_the_shorter_side_scaled_bicubically(self, size, side, monkeypatch):
        mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
        one = picture(*size)
        expected = (scaled_whole(one, side).astype(np.float64) / 255 - np.array(mean)) / np.array(std)
        scaled, resize = [], Image.Image.resize

        def watched(image: Image.Image, size: tuple[int, int], *rest: object, **more: object) -> Image.Image:
            scaled.append(size)
            return resize(image, size, *rest, **more)

        monkeypatch.setattr(Image.Image, "resize", watched)
        found = Cropped(side, mean, std)(one)
        assert scaled[0][0] == side
        assert scaled[1:] == [(side, side)], "only the part that is kept"
        assert (found.shape, found.dtype) == ((3, side, side), np.float32)
        steps = np.abs(found - expected.transpose(2, 0, 1)) * np.array(std)[:, None, None] * 255
        assert steps.max() < 1.01
        assert np.mean(steps > 0.01) < 0.005, "but for roundings"

    def test_interpolation_and_resize_mode_change_nothing(self, root):
        """As in Immich's server, so that its vectors of the same package are the same."""
        assert Package(root / FG_CLIP_2.name).preparation == Cropped(512, (0.5,) * 3, (0.5,) * 3)
        assert Package(root / NLLB.name).preparation == Cropped(384, (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
class TestTowers:
    def test_texts(self, root, shape: Shape):
        folder = root / shape.name
        tower, tokens = text_tower(folder), PackageTokens(Package(folder))
        vectors = tower.encode_texts(TEXTS, "zh-CN")
        assert (vectors.shape, vectors.dtype) == ((len(TEXTS), shape.dimensions), np.float32)
        for text, vector in zip(TEXTS, vectors, strict=True):
            alone = bare(folder, "textual", **dict(zip(shape.inputs, tokens([text], "zh-CN"), strict=False)))
            assert vector @ alone > 0.999999
        assert abs(vectors[0] @ vectors[2]) < 0.99
        assert tower.by_language == (shape is NLLB)
        same = np.allclose(tower.encode_texts(TEXTS), vectors, atol=1e-5)
        assert same == (not tower.by_language)

    def test_pictures(self, root, shape: Shape):
        folder = root / shape.name
        tower = image_tower(folder)
        prepared = [tower.preparation(picture(width, 300)) for width in (200, 300, 500)]
        vectors = tower.encode_images(prepared)
        assert (vectors.shape, vectors.dtype) == ((3, shape.dimensions), np.float32)
        for pixels, vector in zip(prepared, vectors, strict=True):
            assert vector @ bare(folder, "visual", image=pixels[None]) > 0.999999
        assert tower.encode_images([]).shape == (0, shape.dimensions)

    def test_a_batch_goes_through_at_once_where_the_package_takes_it(self, root, shape: Shape, monkeypatch):
        seen, run = [], onnxruntime.InferenceSession.run

        def watched(session: object, names: object, feed: dict[str, np.ndarray], *rest: object) -> object:
            seen.append(len(next(iter(feed.values()))))
            return run(session, names, feed, *rest)

        monkeypatch.setattr(onnxruntime.InferenceSession, "run", watched)
        tower = text_tower(root / shape.name)
        seen.clear()
        tower.encode_texts(TEXTS)
        assert seen == ([1] * len(TEXTS) if shape.batch else [len(TEXTS)])


@pytest.mark.parametrize(("threads", "most"), [(1, 1), (2, 1), (8, 2)])
def test_pictures_share_the_threads(root, monkeypatch, threads, most):
    """A call takes all of them, so that a photo that comes alone does not wait; and few calls compete for them."""
    folder, opened = root / XLM_R.name, []
    session = onnx_sessions.open_session
    monkeypatch.setattr(
        onnx_sessions, "open_session", lambda *of, **how: opened.append(how["threads"]) or session(*of, **how)
    )
    tower = maker_of(str(folder)).open("image", str(folder), folder, device="cpu", precision="auto", threads=threads)
    assert opened == [threads]
    under_way, seen, run = [], [], onnxruntime.InferenceSession.run
    together = threading.Barrier(most)

    def watched(*asked: object) -> object:
        under_way.append(None)
        seen.append(len(under_way))
        together.wait(20)  # so many come at once
        try:
            return run(*asked)
        finally:
            under_way.pop()

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", watched)
    prepared = [tower.model.preparation(picture(300, 200))]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: tower.model.encode_images(prepared), range(4)))
    assert max(seen) == most
    assert all(np.allclose(made[0], each, atol=1e-6) for each in made)


def test_cn_clips_callers_keep_a_processor_each(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(clip, "load_clip", lambda *of, **how: asked.append((how["towers"], how["threads"])))
    write_small_checkpoint(tmp_path / "small.pt")
    for tower in ("image", "text"):
        maker = maker_of(str(tmp_path / "small.pt"))
        maker.open(tower, str(tmp_path / "small.pt"), tmp_path, device="cpu", precision="auto", threads=3)
    assert asked == [(("image",), 1), (("text",), 3)]


def test_rows_that_change_each_other_go_through_alone(tmp_path):
    folder = packages.write_package(tmp_path, replace(XLM_R, mixes=True, external=False))
    tokens = PackageTokens(Package(folder))
    for text, vector in zip(TEXTS, text_tower(folder).encode_texts(TEXTS), strict=True):
        assert vector @ bare(folder, "textual", text=tokens([text])[0]) > 0.999999
    tower = image_tower(folder)
    prepared = [tower.preparation(picture(width, 300)) for width in (200, 500)]
    for pixels, vector in zip(prepared, tower.encode_images(prepared), strict=True):
        assert vector @ bare(folder, "visual", image=pixels[None]) > 0.999999


def test_a_batch_of_a_fixed_size_is_filled_up(tmp_path):
    folder = packages.write_package(tmp_path, replace(XLM_R, batch=4))
    free = packages.write_package(tmp_path / "free", XLM_R)
    for file in ("textual", "visual"):
        shutil.copy(free / file / "model.onnx.data", folder / file / "model.onnx.data")
    np.testing.assert_allclose(text_tower(folder).encode_texts(TEXTS), text_tower(free).encode_texts(TEXTS), atol=1e-5)


class TestBf16:
    """`CLIP_PRECISION=bf16`, as where the processor computes in it."""

    @pytest.fixture(autouse=True)
    def capable(self, monkeypatch) -> None:
        monkeypatch.setattr(openvino, "why_not_bf16", lambda: "")

    @pytest.fixture
    def runs(self, monkeypatch) -> list[int]:
        """The rows of each run of OpenVINO."""
        rows, run = [], openvino.OpenVinoSession.run

        def watched(session: openvino.OpenVinoSession, names: object, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            rows.append(len(next(iter(feed.values()))))
            return run(session, None, feed)

        monkeypatch.setattr(openvino.OpenVinoSession, "run", watched)
        return rows

    @pytest.mark.parametrize("shape", [NLLB, XLM_R, M_CLIP], ids=lambda shape: shape.name)
    def test_nearly_the_same_vectors(self, root, tmp_path, shape: Shape, runs):
        folder = root / shape.name
        exact, texts = text_tower(folder), text_tower(folder, "bf16", tmp_path)
        runs.clear()
        assert (texts.encode_texts(TEXTS) * exact.encode_texts(TEXTS)).sum(axis=1).min() > 0.999
        assert runs == ([1] * len(TEXTS) if shape.batch else [len(TEXTS)])
        pictures = image_tower(folder, "bf16", tmp_path)
        prepared = [pictures.preparation(picture(width, 300)) for width in (200, 500)]
        runs.clear()
        near = pictures.encode_images(prepared) * image_tower(folder).encode_images(prepared)
        assert near.sum(axis=1).min() > 0.999
        assert sum(runs) == len(prepared)

    @pytest.mark.parametrize("trouble", ["other vectors", "cannot be loaded", "no bf16"])
    def test_where_it_does_not_work_the_packages_own_format_is_used(self, root, tmp_path, monkeypatch, caplog, trouble):
        session = poor_session(loads=trouble != "cannot be loaded", off_by=0.1)
        monkeypatch.setattr(openvino, "OpenVinoSession", session)
        if trouble == "no bf16":
            monkeypatch.setattr(openvino, "why_not_bf16", lambda: "this processor has no bf16")
        folder = root / XLM_R.name
        tower = text_tower(folder, "bf16", tmp_path)
        assert (tower.encode_texts(TEXTS) == text_tower(folder).encode_texts(TEXTS)).all()
        [said] = [record.getMessage() for record in caplog.records]
        assert said.startswith(f"CLIP_PRECISION=bf16 is not for {folder / 'textual' / 'model.onnx'}: ")
        told = {"other vectors": "would differ (cosine", "cannot be loaded": "is not implemented", "no bf16": "no bf16"}
        assert told[trouble] in said


class TestIdentity:
    def test_both_towers_have_one_name_and_every_file_is_in_it(self, root, tmp_path):
        folder = shutil.copytree(root / SIGLIP_2.name, tmp_path / SIGLIP_2.name)
        (folder / "README.md").write_text("not of the model")
        name = text_tower(folder).name
        assert name == image_tower(folder).name == Packages().identify(str(folder), tmp_path).name
        assert name == Package(root / SIGLIP_2.name).name()
        assert is_demo(name)
        names = {name}
        for file in ("config.json", "textual/tokenizer.json", "visual/preprocess_cfg.json"):
            path = folder / file
            path.write_text(path.read_text() + " ")
            names.add(Package(folder).name())
        data = folder / "visual" / "model.onnx.data"
        data.write_bytes(data.read_bytes()[:-1] + b"!")
        names.add(Package(folder).name())
        assert len(names) == 5

    def test_external_data_is_found(self, root):
        model = root / SIGLIP_2.name / "visual" / "model.onnx"
        assert onnx_weights.files_of(model) == [model, model.with_name("model.onnx.data")]
        alone = root / FG_CLIP_2.name / "visual" / "model.onnx"
        assert onnx_weights.files_of(alone) == [alone]

    def test_the_width_is_known_before_the_package_is_there(self, root, tmp_path):
        assert Packages().dimensions("nllb-clip-large-siglip__v1", tmp_path) == 1152
        assert Packages().dimensions("immich-app/nllb-clip-large-siglip__v1", tmp_path) == 1152
        assert Packages().dimensions("somebody/model", tmp_path) is None
        assert Packages().dimensions(str(root / FG_CLIP_2.name), tmp_path) == 768
        assert set(DIMENSIONS.values()) == {512, 640, 768, 1024, 1152, 1536}

    def test_memory_of_one_tower(self, root):
        settings = Settings.load(clip_model=str(root / SIGLIP_2.name), tasks="clip")
        size = sum(path.stat().st_size for path in (root / SIGLIP_2.name / "visual").glob("model.onnx*"))
        without = Settings.load(clip_model="/nowhere", tasks="clip")
        assert memory.needed(settings, ("image",), ocr=False) - memory.needed(without, ("image",), ocr=False) == size


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("file", "content", "said"),
        [
            ("config.json", None, "config.json is missing"),
            ("config.json", "{", "config.json is not readable JSON"),
            ("config.json", "[]", "is not a JSON object"),
            ("config.json", "{}", "has no text_cfg"),
            ("textual/tokenizer.json", "{}", "no tokeniser"),
            ("textual/tokenizer_config.json", "{}", "has no pad_token"),
            ("textual/tokenizer_config.json", '{"pad_token": "<none>"}', "does not know the pad_token '<none>'"),
            ("textual/model.onnx", None, "model.onnx is missing"),
            ("textual/model.onnx", "no model", "damaged or no ONNX model"),
            ("textual/model.onnx.data", None, "model.onnx.data is missing"),
            ("config.json", '{"text_cfg": {"context_length": 9}}', "says 9 for axis 1"),
        ],
    )
    def test_in_the_text_tower(self, root, tmp_path, file, content, said):
        folder = shutil.copytree(root / SIGLIP_2.name, tmp_path / SIGLIP_2.name)
        if content is None:
            (folder / file).unlink()
        else:
            (folder / file).write_text(content)
        with pytest.raises(WeightsError, match=said):
            text_tower(folder)

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ({"size": 100, "mean": [0.5], "std": [0.5]}, "says 100 for axis 2"),
            ({"size": [], "mean": [0.5], "std": [0.5]}, "has no size"),
            ({"size": 224, "mean": [0.5], "std": [0]}, "do not describe an RGB picture"),
            ({"size": 224, "mean": [0.5]}, "has no size, mean and std"),
        ],
    )
    def test_in_the_image_tower(self, root, tmp_path, config, said):
        folder = shutil.copytree(root / SIGLIP_2.name, tmp_path / SIGLIP_2.name)
        (folder / "visual" / "preprocess_cfg.json").write_text(json.dumps(config))
        with pytest.raises(WeightsError, match=said):
            image_tower(folder)

    def test_a_model_of_another_kind(self, root, tmp_path):
        folder = shutil.copytree(root / FG_CLIP_2.name, tmp_path / FG_CLIP_2.name)
        shutil.copy(folder / "textual" / "model.onnx", folder / "visual" / "model.onnx")
        with pytest.raises(WeightsError, match="takes text, where image is expected"):
            image_tower(folder)

    @pytest.mark.parametrize(
        ("operation", "axes", "said"),
        [
            ("Unsqueeze", [1], r"gives 1 x 1 x \d+ numbers, where a vector"),
            ("ReduceSum", [0], r"gives \d+ numbers, where"),
        ],
    )
    def test_a_model_that_gives_no_vectors(self, tmp_path, operation, axes, said):
        folder = packages.write_package(tmp_path, replace(XLM_R, external=False))
        path = folder / "visual" / "model.onnx"
        model = onnx.load(path)
        [output] = model.graph.output
        attributes = {"keepdims": 0} if operation == "ReduceSum" else {}
        model.graph.node.append(onnx.helper.make_node(operation, [output.name, "axes"], ["other"], **attributes))
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(axes), "axes"))
        output.CopyFrom(onnx.helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, None))
        onnx.save(model, path)
        with pytest.raises(WeightsError, match=said):
            image_tower(folder)

    def test_weights_outside_of_the_folder(self, root, tmp_path):
        folder = shutil.copytree(root / SIGLIP_2.name, tmp_path / SIGLIP_2.name)
        model = folder / "visual" / "model.onnx"
        model.write_bytes(model.read_bytes().replace(b"model.onnx.data", b"../../../escape"))
        with pytest.raises(WeightsError, match="outside of its folder"):
            image_tower(folder)


def test_names_that_are_no_model(tmp_path):
    for name in ("ViT-X", "ViT-B-32__openAI", "a/b/c", ""):
        with pytest.raises(WeightsError, match="unknown CLIP model"):
            maker_of(name)
    assert isinstance(maker_of("FG/CLIP2"), Packages)
    assert isinstance(maker_of("/somewhere"), Packages)


def settings_of(model: str, root: Path) -> Settings:
    return Settings.load(clip_model=model, tasks="clip", clip_download_root=root, device="cpu", cpu_threads=1)


def read_with(models: Models, text: str, tower: TextTower) -> float:
    """The cosine between a picture and a text, each from a process of its own."""
    assert models.clip is not None
    with hosts.at_work(models):
        vectors = models.clip.encode_images([models.clip.prepare(picture(300, 200))])
    return float(vectors[0] @ tower.encode_texts([text])[0])


def test_both_towers_at_work_in_their_processes(root):
    settings = settings_of(str(root / NLLB.name), root)
    models = load_models(settings)
    text = start_text(settings)
    try:
        alone = load_text_tower(settings)
        assert model_names(settings)[0] == alone.name == text.name == models.clip.name
        assert text.facts.by_language
        for language in (None, "zh-CN"):
            assert np.allclose(text.encode_texts(TEXTS, language), alone.encode_texts(TEXTS, language), atol=1e-6)
        read_with(models, "海边", alone)
    finally:
        text.engine.close()
        models.close()


def test_a_third_kind_is_one_file_and_a_line(monkeypatch, tmp_path):
    monkeypatch.setattr(makers, "MAKERS", [*makers.MAKERS, Third()])
    settings = settings_of("third:7", tmp_path)
    models = load_models(settings)
    text = start_text(settings)
    try:
        assert model_names(settings)[0] == text.name == models.clip.name == "third 7"
        assert text.dimensions == 7
        assert read_with(models, "海边", text) == pytest.approx(1)
    finally:
        text.engine.close()
        models.close()
