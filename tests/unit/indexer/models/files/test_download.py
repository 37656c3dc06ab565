"""Fetching one published file from hosts that behave, and from others."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.errors import WeightsError
from indexer.models.files.download import TakenError, download
from indexer.models.files.published import PublishedFile
from tests.support.sources import Host
from tests.support.sources import host as serve

CONTENT = bytes(range(256)) * 8192  # 2 MiB: several pieces
PATH = "/models/weights.pt"
NOBODY = "http://127.0.0.1:9" + PATH


@pytest.fixture
def host() -> Iterator[Host]:
    with serve({PATH: CONTENT}) as state:
        yield state


def published(folder: Path, *addresses: str, content: bytes = CONTENT) -> PublishedFile:
    return PublishedFile(folder / "weights.pt", len(content), hashlib.sha256(content).hexdigest(), addresses)


def test_it_comes_whole_and_says_how_far_it_is(host, tmp_path):
    seen: list[tuple[str, int]] = []
    file = published(tmp_path / "new", host.address + PATH)
    download(file, lambda name, done: seen.append((name, done)))
    assert file.path.read_bytes() == CONTENT
    assert [done for _, done in seen] == sorted(done for _, done in seen)
    assert seen[-1] == (host.address.removeprefix("http://"), len(CONTENT))
    assert list(file.path.parent.iterdir()) == [file.path]
    download(file)
    assert len(host.asked) == 1, "what is there and genuine is not fetched again"


def test_a_damaged_file_is_replaced(host, tmp_path):
    file = published(tmp_path, host.address + PATH)
    file.path.write_bytes(b"!" * len(CONTENT))
    download(file)
    assert file.path.read_bytes() == CONTENT


def test_redirect_to_a_storage_host(host, tmp_path):
    host.elsewhere = True
    download(file := published(tmp_path, host.address + PATH))
    assert file.path.read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_another_host_goes_on_where_one_broke_off(host, tmp_path, ranges):
    with serve({PATH: CONTENT}) as second:
        host.send, second.ranges = 1_500_000, ranges
        file = published(tmp_path, host.address + PATH, second.address + PATH)
        download(file)
        assert file.path.read_bytes() == CONTENT
        assert second.asked == [(PATH, "bytes=1500000-")]


def test_a_later_try_goes_on_too(host, tmp_path):
    host.send = 1_500_000
    file = published(tmp_path, host.address + PATH)
    with pytest.raises(WeightsError, match=r"weights\.pt cannot be downloaded now: .*broke off after 1500000"):
        download(file)
    assert not file.path.exists()
    assert file.part.stat().st_size == 1_500_000
    host.send = len(CONTENT)
    download(file)
    assert file.path.read_bytes() == CONTENT
    assert host.asked[-1][1] == "bytes=1500000-"


@pytest.mark.parametrize("status", [404, 403, 503])
def test_the_next_host_is_asked_where_one_refuses(host, tmp_path, status):
    with serve() as refusing:
        refusing.status = status
        download(file := published(tmp_path, NOBODY, refusing.address + PATH, host.address + PATH))
    assert file.path.read_bytes() == CONTENT


def test_where_none_delivers_each_reason_is_told(tmp_path):
    with serve() as host:
        file = published(tmp_path, NOBODY, host.address + PATH)
        with pytest.raises(WeightsError, match=r"127\.0\.0\.1:9: Connection refused; 127.*: answered 404 Not Found"):
            download(file)
    assert list(tmp_path.iterdir()) == []


def test_another_file_than_was_published_is_deleted_and_the_next_host_asked(host, tmp_path):
    with serve({PATH: CONTENT[:-1] + b"!"}) as wrong:
        file = published(tmp_path, wrong.address + PATH)
        with pytest.raises(WeightsError, match=r"what arrived is not what was published.*was deleted"):
            download(file)
        assert list(tmp_path.iterdir()) == []
        download(file := published(tmp_path, wrong.address + PATH, host.address + PATH))
    assert file.path.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT + b"more", b"<html>log in</html>"])
def test_another_length_than_was_published_is_not_taken(host, tmp_path, content):
    host.files[PATH] = content
    with pytest.raises(WeightsError, match=rf"delivers {len(content)} bytes"):
        download(published(tmp_path, host.address + PATH))
    assert list(tmp_path.iterdir()) == []


def test_an_overlong_remainder_is_thrown_away(host, tmp_path):
    file = published(tmp_path, host.address + PATH)
    file.part.write_bytes(CONTENT + b"of another try")
    download(file)
    assert file.path.read_bytes() == CONTENT


def test_a_whole_remainder_needs_no_host(tmp_path):
    file = published(tmp_path, NOBODY)
    file.part.write_bytes(CONTENT)
    download(file)
    assert file.path.read_bytes() == CONTENT


def test_two_processes_do_not_write_the_same_file(host, tmp_path):
    host.hold.clear()
    file = published(tmp_path, host.address + PATH)
    first = threading.Thread(target=download, args=(file,))
    first.start()
    assert host.began.wait(20)
    with pytest.raises(TakenError, match="another process is downloading"):
        download(file)
    host.hold.set()
    first.join(20)
    assert file.path.read_bytes() == CONTENT


def test_a_silent_host_is_given_up_after_seconds(host, tmp_path):
    host.hold.clear()
    with serve({PATH: CONTENT}) as second:
        download(file := published(tmp_path, host.address + PATH, second.address + PATH), silence=0.2)
    assert file.path.read_bytes() == CONTENT


def test_no_room_is_said_before_anything_is_asked(host, tmp_path):
    file = PublishedFile(tmp_path / "weights.pt", 1 << 60, "0" * 64, (host.address + PATH,))
    with pytest.raises(WeightsError, match=r"has room for .* MB, weights\.pt needs"):
        download(file)
    assert host.asked == []


def test_a_folder_that_cannot_be_written(host, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=r"cannot write .*file"):
        download(published(tmp_path / "file", host.address + PATH))
