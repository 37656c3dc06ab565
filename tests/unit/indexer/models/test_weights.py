"""Fetching weights from a stand-in for both sources."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from indexer.errors import WeightsError
from indexer.models import weights
from indexer.models.weights import FILES, WeightFile, check, fetch, find

CONTENT = bytes(range(256)) * 8192  # 2 MiB: several pieces
FILE = WeightFile("chinese-clip-test", "clip_cn_test.pt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@dataclass
class Host:
    """Serves `content`; the tests change how."""

    content: bytes = CONTENT
    send: int = len(CONTENT)
    ranges: bool = True
    status: int = 200
    redirect: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def host(monkeypatch) -> Iterator[Host]:
    state = Host()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            if state.status != 200:
                self.send_error(state.status)
                return
            if state.redirect and not self.path.startswith("/elsewhere"):
                self.send_response(302)
                self.send_header("Location", f"{state.address}/elsewhere")
                self.end_headers()
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(state.content) - start))
            self.end_headers()
            self.wfile.write(state.content[start : start + state.send])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(weights, "HUGGING_FACE", state.address)
    monkeypatch.setattr(weights, "MODELSCOPE", state.address)
    monkeypatch.setitem(FILES, "test", FILE)
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("huggingface", "/OFA-Sys/chinese-clip-test/resolve/main/clip_cn_test.pt"),
        ("modelscope", "/models/AI-ModelScope/chinese-clip-test/resolve/master/clip_cn_test.pt"),
    ],
)
def test_fetch(host, tmp_path, source, path):
    seen: list[tuple[int, int]] = []
    fetched = fetch("test", tmp_path / "new", source, progress=lambda done, total: seen.append((done, total)))
    assert fetched == tmp_path / "new" / "clip_cn_test.pt" == find("test", tmp_path / "new")
    assert fetched.read_bytes() == CONTENT
    assert host.asked == [(path, None)]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert list(fetched.parent.iterdir()) == [fetched]


def test_what_is_there_is_not_fetched_again(host, tmp_path):
    fetch("test", tmp_path)
    fetch("test", tmp_path)
    assert len(host.asked) == 1


def test_a_damaged_file_is_replaced(host, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"damaged")
    assert fetch("test", tmp_path).read_bytes() == CONTENT


def test_redirect_to_a_storage_host(host, tmp_path):
    host.redirect = True
    assert fetch("test", tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_short_then_resumed(host, tmp_path, ranges):
    host.send = 1_500_000
    with pytest.raises(WeightsError, match=r"(ended after|IncompleteRead|incomplete).*fetch again to go on"):
        fetch("test", tmp_path)
    assert not (tmp_path / FILE.name).exists()
    with pytest.raises(WeightsError, match="missing"):
        find("test", tmp_path)
    part = tmp_path / f"{FILE.name}.part"
    arrived = part.stat().st_size
    assert 0 < arrived <= 1_500_000
    host.send, host.ranges = len(CONTENT), ranges
    assert fetch("test", tmp_path).read_bytes() == CONTENT
    assert host.asked[-1][1] == f"bytes={arrived}-"
    assert not part.exists()


def test_another_file_than_was_published(host, tmp_path):
    host.content = CONTENT[:-1] + b"!"
    with pytest.raises(WeightsError, match=f"delivered another file.*expected {FILE.sha256}"):
        fetch("test", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [CONTENT + b"more", b"<html>log in</html>"])
def test_another_length_than_was_published(host, tmp_path, content):
    host.content, host.send = content, len(content)
    with pytest.raises(WeightsError, match=rf"delivers {len(content)} bytes"):
        fetch("test", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_overlong_remainder_is_thrown_away(host, tmp_path):
    (tmp_path / f"{FILE.name}.part").write_bytes(CONTENT + b"of another attempt")
    assert fetch("test", tmp_path).read_bytes() == CONTENT


def test_a_whole_remainder_needs_no_server(host, tmp_path):
    (tmp_path / f"{FILE.name}.part").write_bytes(CONTENT)
    assert fetch("test", tmp_path).read_bytes() == CONTENT
    assert host.asked == []


@pytest.mark.parametrize("status", [404, 403, 503])
def test_refused(host, tmp_path, status):
    host.status = status
    with pytest.raises(WeightsError, match=rf"clip_cn_test\.pt answered {status} .*try the other source"):
        fetch("test", tmp_path)


def test_no_answer(host, tmp_path):
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1:9.*refused"):
        fetch("test", tmp_path, host="http://127.0.0.1:9")


def test_a_mirror_is_asked_instead(host, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "HUGGING_FACE", "http://127.0.0.1:9")
    assert fetch("test", tmp_path, host=host.address).is_file()


def test_a_file_of_ones_own_only_has_to_be_there(tmp_path):
    own = tmp_path / "own.pt"
    with pytest.raises(WeightsError, match=rf"there is no file {own}: put it there.*own\.json.*only published models"):
        fetch(str(own), tmp_path)
    own.write_bytes(b"weights of one's own")
    assert fetch(str(own), tmp_path) == own


def test_folder_that_cannot_be_written(host, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="file"):
        fetch("test", tmp_path / "file")


def test_missing_says_which_file_goes_where_and_how(tmp_path):
    with pytest.raises(WeightsError) as caught:
        find("ViT-B-16", tmp_path)
    text = str(caught.value)
    assert str(tmp_path / "clip_cn_vit-b-16.pt") in text
    assert "immich-indexer models fetch ViT-B-16" in text
    assert "https://huggingface.co/OFA-Sys/chinese-clip-vit-base-patch16/resolve/main/clip_cn_vit-b-16.pt" in text
    assert "https://www.modelscope.cn/models/AI-ModelScope/" in text


def test_unknown_model(tmp_path):
    for call in (find, fetch):
        with pytest.raises(WeightsError, match="unknown CLIP model 'ViT-X'"):
            call("ViT-X", tmp_path)


def test_check(tmp_path, monkeypatch):
    monkeypatch.setitem(FILES, "test", FILE)
    path = tmp_path / FILE.name
    path.write_bytes(CONTENT)
    assert check(path).genuine
    assert check(path).size == len(CONTENT)
    path.write_bytes(CONTENT[1:])
    assert not check(path).genuine
    own = tmp_path / "own.pt"
    own.write_bytes(b"weights of one's own")
    assert check(own).genuine
    assert check(own).expected is None
    with pytest.raises(WeightsError, match="cannot read"):
        check(tmp_path / "gone.pt")


def test_files_are_cn_clips():
    from indexer.models.torchvision_compat import ensure_torchvision

    ensure_torchvision()
    from cn_clip.clip import utils

    assert {model: (file.repository, file.name) for model, file in FILES.items()} == utils._MODELS
    assert all(len(file.sha256) == 64 and file.size > 300_000_000 for file in FILES.values())
    assert (weights.address(FILES["RN50"], "modelscope")).startswith("https://")
    assert Path(FILES["RN50"].name).suffix == ".pt"
