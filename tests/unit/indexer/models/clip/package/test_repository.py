"""Packages of Hugging Face: which files there are is asked once, written down, and checked from then on."""

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from indexer.cli.main import main
from indexer.errors import WeightsError
from indexer.models import model_files
from indexer.models.clip.package.layout import NAMED, Package
from indexer.models.clip.package.maker import Packages
from indexer.models.clip.package.repository import RECORD, HubRepository, pinned
from indexer.models.fetcher import Fetcher, Pace
from indexer.models.files.published import Source
from indexer.models.model_files import clip_files
from indexer.settings import Settings
from tests.support import packages
from tests.support.packages import SIGLIP_2
from tests.support.sources import Host
from tests.support.sources import host as serve
from tests.support.workers import eventually

NAME = SIGLIP_2.name
REPOSITORY = f"immich-app/{NAME}"
LIST = f"/api/models/{REPOSITORY}?blobs=true"
QUICK = Pace(look=0.01, first=0.02, longest=0.05, copying=0.0, told=0)
UNWANTED = {"README.md": b"#", "visual/model.armnn": b"arm", "textual/rknpu/model.rknn": b"rk", "visual/.hidden": b""}


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return packages.write_package(tmp_path_factory.mktemp("published"), SIGLIP_2)


def contents(package: Path) -> dict[str, bytes]:
    return {str(path.relative_to(package)): path.read_bytes() for path in package.rglob("*") if path.is_file()}


def publish(host: Host, files: dict[str, bytes], revision: str = "a" * 40) -> None:
    """As Hugging Face does it: weights are in Git LFS, all else is in Git itself."""
    listed = []
    for name, content in files.items():
        sibling = {"rfilename": name, "size": len(content)}
        sibling["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if "model." in name:
            sibling["blobId"] = "0" * 40  # of the pointer
            sibling["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        listed.append(sibling)
        host.files[f"/{REPOSITORY}/resolve/{revision}/{name}"] = content
    host.files[LIST] = json.dumps({"id": REPOSITORY, "sha": revision, "siblings": listed}).encode()


@pytest.fixture
def host(package) -> Iterator[Host]:
    with serve() as state:
        publish(state, contents(package) | UNWANTED)
        yield state


def settings_for(host: Host, root: Path, **more: object) -> Settings:
    return Settings.load(
        **{"clip_model": NAME, "clip_download_root": root, "tasks": "clip", "hf_endpoint": host.address} | more
    )


def repository(host: Host, root: Path) -> HubRepository:
    return HubRepository(REPOSITORY, root / REPOSITORY, (Source("huggingface", host.address),))


@contextlib.asynccontextmanager
async def running(fetcher: Fetcher):
    task = asyncio.create_task(fetcher.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def complete(fetcher: Fetcher) -> None:
    async def look() -> bool:
        return not fetcher.missing("clip")

    assert await eventually(look)


async def test_a_package_is_fetched_by_immichs_name(host, tmp_path, package):
    settings = settings_for(host, tmp_path)
    fetcher = Fetcher([clip_files(settings, NAME)], pace=QUICK)
    assert "has not told yet" in fetcher.missing("clip")
    assert "fetched by itself" in fetcher.missing("clip")
    async with running(fetcher):
        await complete(fetcher)
    folder = tmp_path / REPOSITORY
    assert set(contents(folder)) == {*contents(package), RECORD}
    record = json.loads((folder / RECORD).read_text())
    assert (record["repository"], record["revision"]) == (REPOSITORY, "a" * 40)
    download = fetcher.downloads[0]
    assert download.size == download.arrived == sum(map(len, contents(package).values()))
    assert Packages().identify(NAME, tmp_path).name == Package(package).name()


def pin(package: Path) -> dict[str, object]:
    files = {name: [len(content), hashlib.sha256(content).hexdigest()] for name, content in contents(package).items()}
    return {"revision": "b" * 40, "files": files}


async def test_a_pinned_package_is_fetched_without_asking_for_a_list(tmp_path, package):
    with serve() as one:
        publish(one, contents(package), "b" * 40)
        del one.files[LIST]
        known = HubRepository(
            REPOSITORY, tmp_path / REPOSITORY, (Source("huggingface", one.address),), {REPOSITORY: pin(package)}
        ).known()
        assert known is not None
        assert known.repository is None
        fetcher = Fetcher([known], pace=QUICK)
        async with running(fetcher):
            await complete(fetcher)
    assert contents(tmp_path / REPOSITORY) == contents(package)
    assert all(file.is_genuine() for file in known.files)


def test_a_pin_counts_more_than_what_was_fetched_before(host, tmp_path, package):
    repository(host, tmp_path).ask()  # writes the newest revision down
    known = HubRepository(REPOSITORY, tmp_path / REPOSITORY, (), {REPOSITORY: pin(package)}).known()
    assert {file.path.relative_to(tmp_path / REPOSITORY).as_posix() for file in known.files} == set(contents(package))
    assert (
        "b" * 40
        in HubRepository(
            REPOSITORY, tmp_path / REPOSITORY, (Source("huggingface", host.address),), {REPOSITORY: pin(package)}
        )
        .known()
        .files[0]
        .addresses[0]
    )


def test_every_pin_names_all_files_by_their_sha256(package):
    for name, each in {**pinned(), "made/up": pin(package)}.items():
        assert re.fullmatch(r"[0-9a-f]{40}", str(each["revision"])), name
        assert set(NAMED) <= set(each["files"]), name
        for file, (size, sha256) in each["files"].items():
            assert size > 0, (name, file)
            assert re.fullmatch(r"[0-9a-f]{64}", sha256), (name, file)


async def test_the_revision_that_was_fetched_first_stays(host, tmp_path, package):
    repository(host, tmp_path).ask()
    changed = contents(package) | {"config.json": b'{"text_cfg": {}}', "visual/model.onnx": b"another"}
    publish(host, changed, "b" * 40)
    fetcher = Fetcher([clip_files(settings_for(host, tmp_path), NAME)], pace=QUICK)
    async with running(fetcher):
        await complete(fetcher)
    assert all("a" * 40 in path for path, _ in host.asked if "resolve" in path)
    assert Packages().identify(NAME, tmp_path).name == Package(package).name()


async def test_a_file_that_was_changed_is_refused_and_fetched_again(host, tmp_path, package):
    settings = settings_for(host, tmp_path)
    fetcher = Fetcher([clip_files(settings, NAME)], pace=QUICK)
    async with running(fetcher):
        await complete(fetcher)
        path = tmp_path / REPOSITORY / "textual" / "tokenizer.json"
        path.write_text("{}")
        with pytest.raises(WeightsError, match=r"tokenizer.json is missing, damaged or not what .*revision.json says"):
            Packages().identify(NAME, tmp_path)
        await eventually(lambda: asyncio.sleep(0, "damaged" in fetcher.missing("clip") or path.stat().st_size > 2))
        await complete(fetcher)
    assert path.read_bytes() == contents(package)["textual/tokenizer.json"]


async def test_a_folder_put_there_by_hand_is_taken(tmp_path, package):
    settings = Settings.load(clip_model=NAME, clip_download_root=tmp_path, tasks="clip", weights_source="none")
    fetcher = Fetcher([clip_files(settings, NAME)], fetches=False, pace=QUICK)
    assert fetcher.missing("clip")
    async with running(fetcher):
        for name, content in contents(package).items():
            path = tmp_path / REPOSITORY / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        await complete(fetcher)
    assert Packages().identify(NAME, tmp_path).name == Package(package).name()


async def test_another_process_may_have_asked(host, tmp_path):
    fetcher = Fetcher([clip_files(settings_for(host, tmp_path), NAME)], fetches=False, pace=QUICK)
    repository(host, tmp_path).ask()
    async with running(fetcher):

        async def known() -> bool:
            return fetcher.downloads[0].size > 0

        await eventually(known)
    assert "model.onnx (" in fetcher.missing("clip")


def test_weights_come_from_any_host_that_has_the_same_bytes(host, tmp_path):
    sources = (Source("modelscope", "https://ms.example"), Source("huggingface", host.address))
    files = HubRepository(REPOSITORY, tmp_path, sources).ask().files
    assert len(files) == 8
    assert next(file for file in files if file.path.name == "config.json").addresses == (
        f"https://ms.example/models/{REPOSITORY}/resolve/master/config.json",
        f"{host.address}/{REPOSITORY}/resolve/{'a' * 40}/config.json",
    )


def test_no_host_tells(host, tmp_path, package):
    def said() -> str:
        with pytest.raises(WeightsError) as caught:
            repository(host, tmp_path).ask()
        return str(caught.value)

    files = contents(package)
    publish(host, {name: content for name, content in files.items() if name != "visual/preprocess_cfg.json"})
    assert "has no visual/preprocess_cfg.json: it is no package in Immich's layout" in said()
    publish(host, files)
    host.files[f"/{REPOSITORY}/resolve/{'a' * 40}/config.json"] = b"{}"
    assert "config.json is not what its list says" in said()
    host.files[LIST] = b"<html>"
    assert "not as expected" in said()
    host.status = 404
    assert "answered 404" in said()
    assert not (tmp_path / REPOSITORY).exists()


@pytest.mark.parametrize("name", ["../escape", "visual/../../escape", "/etc/passwd", "visual/a/b"])
def test_a_record_names_no_file_elsewhere(host, tmp_path, name):
    known = repository(host, tmp_path)
    known.ask()
    path = known.folder / RECORD
    record = json.loads(path.read_text())
    record["files"][name] = [1, "0" * 64]
    path.write_text(json.dumps(record))
    with pytest.raises(WeightsError, match="delete it, and it is written again"):
        known.known()


def test_the_commands(host, tmp_path, package):
    environment = {"CLIP_DOWNLOAD_ROOT": str(tmp_path), "HF_ENDPOINT": host.address}
    run = CliRunner(env=environment)
    missing = run.invoke(main, ["models", "check", NAME])
    assert missing.exit_code == 1
    assert f"immich-indexer models fetch {NAME}" in missing.output
    for model in (NAME, REPOSITORY):
        fetched = run.invoke(main, ["models", "fetch", model])
        assert fetched.exit_code == 0, fetched.output
    assert sum(path == LIST for path, _ in host.asked) == 1
    checked = run.invoke(main, ["models", "check", REPOSITORY])
    assert Package(package).name() in checked.output.replace("\n", "")


def test_a_folder_that_cannot_be_read_is_closed(tmp_path):
    wanted = clip_files(Settings.load(clip_model=NAME, clip_download_root=tmp_path), NAME)
    assert wanted.is_published
    assert not model_files.is_closed(wanted)
    (tmp_path / "immich-app").write_text("no folder")
    assert model_files.is_closed(wanted)
