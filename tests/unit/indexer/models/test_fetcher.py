"""Weights that come in the background: fetched, put there by hand, damaged, and not to be had for a while."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from indexer.models.fetcher import Fetcher, Pace
from indexer.models.files.published import PublishedFile
from indexer.models.model_files import DownloadState, ModelFiles, all_files
from tests.support.sources import Host
from tests.support.sources import host as serve
from tests.support.workers import eventually, settings_for

CONTENT = bytes(range(256)) * 4096
PATH = "/weights.pt"
QUICK = Pace(look=0.01, first=0.02, longest=0.05, copying=0.0, told=0)


@pytest.fixture
def host() -> Iterator[Host]:
    with serve({PATH: CONTENT}) as state:
        yield state


def wanted(folder: Path, *addresses: str, use: str = "clip") -> ModelFiles:
    file = PublishedFile(folder / f"{use}.pt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), addresses)
    return ModelFiles(use, f"the {use} model", (file,))


@contextlib.asynccontextmanager
async def running(fetcher: Fetcher) -> AsyncIterator[Fetcher]:
    task = asyncio.create_task(fetcher.run())
    try:
        yield fetcher
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(fetcher: Fetcher, condition: Callable[[DownloadState], object]) -> DownloadState:
    """The first state of which it holds."""

    async def look() -> DownloadState | None:
        download = fetcher.downloads[0]
        return download if condition(download) else None

    found: DownloadState = await eventually(look)
    return found


async def test_what_is_missing_is_fetched_and_told_of(host, tmp_path):
    host.hold.clear()
    came = asyncio.Event()
    loop = asyncio.get_running_loop()
    with capture_logs() as told:
        fetcher = Fetcher([wanted(tmp_path, host.address + PATH)], pace=QUICK)
        assert "clip.pt" in fetcher.missing("clip")
        assert "fetched by itself" in fetcher.missing("clip")
        fetcher.watch(lambda: loop.call_soon_threadsafe(came.set) if not fetcher.missing("clip") else None)
        async with running(fetcher):
            half = await until(fetcher, lambda download: download.arrived)
            assert half.size == len(CONTENT)
            assert "% of 1 MB fetched, now from 127.0.0.1" in half.sentence
            assert half.missing == fetcher.missing("clip"), "it stays the same, to be told once"
            host.hold.set()
            async with asyncio.timeout(20):
                await came.wait()
    assert fetcher.downloads[0] == DownloadState("clip", "the clip model", arrived=len(CONTENT), size=len(CONTENT))
    events = [line["event"] for line in told]
    assert events[0] == "weights missing"
    assert "downloading weights" in events
    assert events[-1] == "weights are complete"


async def test_it_asks_again_and_again_and_says_why_not(host, tmp_path):
    host.status = 503
    fetcher = Fetcher([wanted(tmp_path, "http://127.0.0.1:9/", host.address + PATH)], pace=QUICK)
    async with running(fetcher):
        away = await until(fetcher, lambda download: download.trouble)
        assert "127.0.0.1:9: Connection refused" in away.sentence
        assert "503" in away.sentence
        assert away.next_try is not None
        await until(fetcher, lambda _: len(host.asked) >= 3)
        host.status = 200
        there = await until(fetcher, lambda download: not download.missing)
        assert (there.trouble, there.next_try, there.host) == ("", None, "")


@pytest.mark.parametrize("fetches", [True, False])
async def test_a_file_put_there_by_hand_is_found(tmp_path, fetches):
    fetcher = Fetcher([wanted(tmp_path, "http://127.0.0.1:9/")], fetches=fetches, pace=QUICK)
    async with running(fetcher):
        if fetches:
            await until(fetcher, lambda download: download.trouble)
        (tmp_path / "clip.pt").write_bytes(CONTENT[:1000])  # not all of it yet
        await until(fetcher, lambda download: "damaged or not" in download.missing)
        (tmp_path / "clip.pt").write_bytes(CONTENT)
        await until(fetcher, lambda download: not download.missing)


async def test_a_file_put_there_ends_the_download_of_it(host, tmp_path):
    host.hold.clear()
    fetcher = Fetcher([wanted(tmp_path, host.address + PATH)], pace=QUICK)
    async with running(fetcher):
        await until(fetcher, lambda download: download.arrived)
        (tmp_path / "clip.pt").write_bytes(CONTENT)
        await until(fetcher, lambda download: not download.missing)
        before = (tmp_path / "clip.pt").stat().st_ino
        host.hold.set()
    assert (tmp_path / "clip.pt").stat().st_ino == before


async def test_what_is_being_copied_there_is_let_be(host, tmp_path):
    (tmp_path / "clip.pt").write_bytes(CONTENT[:1000])
    pace = Pace(look=0.01, first=0.02, longest=0.05, copying=3600)
    async with running(Fetcher([wanted(tmp_path, host.address + PATH)], pace=pace)) as fetcher:
        await asyncio.sleep(0.1)
        assert host.asked == []
        (tmp_path / "clip.pt").write_bytes(CONTENT)
        await until(fetcher, lambda download: not download.missing)
    assert host.asked == []


async def test_a_damaged_file_is_said_so_and_fetched_again(host, tmp_path):
    (tmp_path / "clip.pt").write_bytes(b"!" * len(CONTENT))
    fetcher = Fetcher([wanted(tmp_path, host.address + PATH)], pace=QUICK)
    assert "clip.pt is damaged or not what was published" in fetcher.missing("clip")
    assert fetcher.downloads[0].arrived == 0
    async with running(fetcher):
        await until(fetcher, lambda download: not download.missing)
        host.hold.clear()
        (tmp_path / "clip.pt").unlink()
        await until(fetcher, lambda download: download.missing)
        host.hold.set()
        await until(fetcher, lambda download: not download.missing)
    assert (tmp_path / "clip.pt").read_bytes() == CONTENT


async def test_one_that_cannot_be_had_does_not_hold_up_the_next(host, tmp_path):
    fetcher = Fetcher(
        [wanted(tmp_path, "http://127.0.0.1:9/"), wanted(tmp_path, host.address + PATH, use="faces")], pace=QUICK
    )
    async with running(fetcher):
        await until(fetcher, lambda _: not fetcher.missing("faces"))
        assert fetcher.missing("clip")
    assert fetcher.missing("other") == ""


async def test_a_model_of_ones_own_is_waited_for(tmp_path):
    own = tmp_path / "own.pt"
    fetcher = Fetcher([ModelFiles("clip", "own", own=(own, own.with_suffix(".json")))], pace=QUICK)
    assert f"put {own} and {own.with_suffix('.json')} there" in fetcher.missing("clip")
    async with running(fetcher):
        own.with_suffix(".json").write_text("{}")
        own.touch()
        await until(fetcher, lambda download: not download.missing)


def test_what_the_settings_want(tmp_path, monkeypatch):
    settings = {"clip_model": "RN50", "clip_download_root": tmp_path, "immich_ml_url": ""}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert [one.use for one in all_files(settings_for("postgresql://", tmp_path, **settings))] == ["clip", "faces"]
    settings["immich_ml_url"] = "http://ml:3003"
    (clip,) = all_files(settings_for("postgresql://", tmp_path, hf_endpoint="https://hf.example", **settings))
    assert [address.split("/")[2] for address in clip.files[0].addresses] == [
        *("hf.example", "huggingface.co", "hf-mirror.com", "www.modelscope.cn")
    ]
    assert all_files(settings_for("postgresql://", tmp_path, tasks="ocr", **settings)) == []
    settings["clip_model"] = str(tmp_path / "own.pt")
    (own,) = all_files(settings_for("postgresql://", tmp_path, **settings))
    assert own.own == (tmp_path / "own.pt", tmp_path / "own.json")
    assert Fetcher.of(settings_for("postgresql://", tmp_path, **settings)).missing("clip")
