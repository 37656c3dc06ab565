"""The published Chinese-CLIP weights: which there are, where they lie and where they come from."""

import hashlib

import pytest
from click.testing import CliRunner

from indexer.cli.main import main
from indexer.errors import WeightsError
from indexer.models.clip.cn_clip import weights
from indexer.models.clip.cn_clip.weights import FILES, WeightFile, check, find, published
from indexer.models.files.published import HUGGING_FACE, MIRROR, MODELSCOPE, Source
from tests.support.sources import host as serve

CONTENT = bytes(range(256)) * 16
FILE = WeightFile("chinese-clip-test", "clip_cn_test.pt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), ("", ""))


def test_every_source_in_turn():
    assert [source.host for source in Source.all()] == [HUGGING_FACE, MIRROR, MODELSCOPE]
    assert [source.host for source in Source.all("modelscope")] == [MODELSCOPE, HUGGING_FACE, MIRROR]
    assert [source.host for source in Source.all("huggingface", "https://hf.example/", "https://ms.example")] == [
        *("https://hf.example", HUGGING_FACE, MIRROR),
        *("https://ms.example", MODELSCOPE),
    ]
    assert [source.host for source in Source.all("huggingface", MIRROR)] == [MIRROR, HUGGING_FACE, MODELSCOPE]


def test_where_a_model_is_to_be_had(tmp_path):
    file = published("ViT-B-16", tmp_path, Source.all())
    repository, name = "chinese-clip-vit-base-patch16", "clip_cn_vit-b-16.pt"
    assert file.path == tmp_path / name
    assert file.addresses == (
        f"{HUGGING_FACE}/OFA-Sys/{repository}/resolve/main/{name}",
        f"{MIRROR}/OFA-Sys/{repository}/resolve/main/{name}",
        f"{MODELSCOPE}/models/AI-ModelScope/{repository}/resolve/master/{name}",
    )


def test_missing_says_which_file_goes_where_and_how(tmp_path):
    with pytest.raises(WeightsError) as caught:
        find("ViT-B-16", tmp_path)
    text = str(caught.value)
    assert str(tmp_path / "clip_cn_vit-b-16.pt") in text
    assert "immich-indexer models fetch ViT-B-16" in text
    assert "https://huggingface.co/OFA-Sys/chinese-clip-vit-base-patch16/resolve/main/clip_cn_vit-b-16.pt" in text
    assert "https://www.modelscope.cn/models/AI-ModelScope/" in text


def test_unknown_model(tmp_path):
    for call in (find, published):
        with pytest.raises(WeightsError, match="unknown CLIP model 'ViT-X'"):
            call("ViT-X", tmp_path)


def test_check(tmp_path, monkeypatch):
    monkeypatch.setitem(FILES, "test", FILE)
    path = tmp_path / FILE.name
    path.write_bytes(CONTENT)
    assert check(path).genuine
    assert check(path).size == len(CONTENT)
    assert published("test", tmp_path).is_genuine()
    path.write_bytes(CONTENT[1:])
    assert not check(path).genuine
    assert not published("test", tmp_path).is_genuine()
    own = tmp_path / "own.pt"
    own.write_bytes(b"weights of one's own")
    assert check(own).genuine
    assert check(own).expected is None
    with pytest.raises(WeightsError, match="cannot read"):
        check(tmp_path / "gone.pt")


@pytest.mark.parametrize("source", ["none", "modelscope"])
def test_the_command_fetches_what_is_missing(tmp_path, monkeypatch, source):
    monkeypatch.setitem(FILES, "test", FILE)
    paths = {
        "none": f"/OFA-Sys/{FILE.repository}/resolve/main/{FILE.name}",
        "modelscope": f"/models/AI-ModelScope/{FILE.repository}/resolve/master/{FILE.name}",
    }
    with serve({paths[source]: CONTENT}) as host:
        environment = {
            "CLIP_DOWNLOAD_ROOT": str(tmp_path),
            "WEIGHTS_SOURCE": source,
            "HF_ENDPOINT": host.address,
            "MODELSCOPE_ENDPOINT": host.address,
        }
        for _ in range(2):
            done = CliRunner(env=environment).invoke(main, ["models", "fetch", "test"])
            assert done.exit_code == 0, done.output
            assert f"{tmp_path / FILE.name}isthere" in "".join(done.output.split()), "a long path is wrapped"
        assert [path for path, _ in host.asked] == [paths[source]], "once, and of the one that is named first"
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    own = CliRunner(env=environment).invoke(main, ["models", "fetch", str(tmp_path / "own.pt")])
    assert own.exit_code == 1
    assert "Only published models can be fetched" in own.output


def test_files_are_cn_clips():
    from indexer.models.clip.cn_clip.imported import import_cn_clip

    import_cn_clip()
    from cn_clip.clip import utils

    assert {model: (file.repository, file.name) for model, file in FILES.items()} == utils._MODELS
    assert {model: "@".join(file.shape) for model, file in FILES.items()} == {
        model: known["struct"] for model, known in utils._MODEL_INFO.items()
    }
    assert all(len(file.sha256) == 64 and file.size > 300_000_000 for file in FILES.values())
    assert all(weights.address(file, Source.all()[0]).endswith(".pt") for file in FILES.values())
