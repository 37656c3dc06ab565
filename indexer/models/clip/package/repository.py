"""A package at Hugging Face: which files its newest revision has, asked once and written down; or those that we know.

What was written down holds until a person deletes it: every later download, on this machine or on another that shares
the folder, brings the same bytes or fails. The list is that of https://huggingface.co/docs/hub/api, GET
/api/models/OWNER/NAME with `blobs=true`: SHA-256 of large files (Git LFS). Small files have only the SHA-1 that Git
gives them, so they are read at once, checked by it, and get their SHA-256 from us.

`pinned.json` names packages whose files were checked by us: OWNER/NAME to what `RECORD` would say. Nobody is asked for
their list, and no other revision is taken. To add one: fetch it, try it, copy its record.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from indexer.errors import WeightsError, words_of
from indexer.models.clip.package.layout import CONFIG, FOLDERS, NAMED
from indexer.models.files.published import ModelFiles, PublishedFile, Source

RECORD = "revision.json"
"""The file in the package's folder that says which revision it is, and the size and SHA-256 of each file."""

_OTHER_MACHINES = (".armnn", ".rknn")  # Immich's models for special processors
_SMALL = 64 << 20  # bytes: what Git itself keeps has at most 10 MB
_SILENCE = 10.0  # seconds


@cache
def pinned() -> Mapping[str, Mapping[str, Any]]:
    """The packages that are pinned: OWNER/NAME to its `revision`, and to its `files`, name to size and SHA-256."""
    found: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("pinned.json").read_text("utf-8"))
    return found


class _NoListError(Exception):
    """A host does not tell. The text says why."""


@dataclass(frozen=True)
class HubRepository:
    """A `Repository`. `name`: OWNER/NAME. `folder`: for its files. `sources`: the hosts, in the order to ask.

    `pins`: see `pinned`.
    """

    name: str
    folder: Path
    sources: tuple[Source, ...] = ()
    pins: Mapping[str, Mapping[str, Any]] = field(default_factory=pinned)

    def known(self) -> ModelFiles | None:
        """From a pin; or from the record; without one, from a complete folder that a person has put there.

        Raises:
            WeightsError: the record cannot be read.
        """
        if (pin := self.pins.get(self.name)) is not None:
            return self._recorded(pin)
        path = self.folder / RECORD
        try:
            return self._recorded(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            own = tuple(self.folder / name for name in NAMED)
            return ModelFiles("clip", self.name, own=own) if all(each.is_file() for each in own) else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"{path} cannot be read ({error!r}): delete it, and it is written again") from error

    def _recorded(self, record: Mapping[str, Any]) -> ModelFiles:
        files = {name: (int(size), str(sha256)) for name, (size, sha256) in record["files"].items()}
        return self._files(record["revision"], files)

    def ask(self) -> ModelFiles:
        """Ask one host after the other."""
        troubles = []
        for source in self.sources:
            if source.kind != "huggingface":  # ModelScope has another interface; it is asked for files alone
                continue
            try:
                return self._ask(source.host)
            except _NoListError as error:
                troubles.append(f"{urlsplit(source.host).netloc}: {error}")
        raise WeightsError(f"nobody tells which files {self.name} has: {'; '.join(troubles)}")

    def _ask(self, host: str) -> ModelFiles:
        try:
            told = json.loads(_get(f"{host}/api/models/{quote(self.name)}?blobs=true"))
            revision = str(told["sha"])
            listed = {str(file["rfilename"]): file for file in told["siblings"]}
            if missing := [name for name in NAMED if name not in listed]:
                raise _NoListError(f"it has no {' and no '.join(missing)}: it is no package in Immich's layout")
            files = {
                name: (int(file["size"]), self._digest(host, revision, name, file))
                for name, file in listed.items()
                if _is_wanted(name)
            }
        except (ValueError, KeyError, TypeError) as error:
            raise _NoListError(f"its answer is not as expected: {error!r}") from error
        self._write(revision, files)
        return self._files(revision, files)

    def _digest(self, host: str, revision: str, name: str, file: Mapping[str, Any]) -> str:
        lfs = file.get("lfs")
        if lfs:
            return str(lfs["sha256"])
        content = _get(_address(host, self.name, revision, name))
        seen = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if seen != file["blobId"]:
            raise _NoListError(f"{name} is not what its list says")
        return hashlib.sha256(content).hexdigest()

    def _write(self, revision: str, files: Mapping[str, tuple[int, str]]) -> None:
        path = self.folder / RECORD
        record = {"repository": self.name, "revision": revision, "files": files}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.{os.getpid()}")
            part.write_text(json.dumps(record, indent=2), "utf-8")
            part.replace(path)
        except OSError as error:
            raise WeightsError(f"cannot write {path}: {error.strerror or error}") from error

    def _files(self, revision: str, files: Mapping[str, tuple[int, str]]) -> ModelFiles:
        if not all(map(_is_wanted, files)):
            raise ValueError(f"a package has no such files: {', '.join(files)}")
        published = tuple(
            PublishedFile(self.folder / name, size, sha256, tuple(self._addresses(revision, name)))
            for name, (size, sha256) in files.items()
        )
        return ModelFiles("clip", self.name, published)

    def _addresses(self, revision: str, name: str) -> list[str]:
        return [
            _address(source.host, self.name, revision, name)
            if source.kind == "huggingface"
            else f"{source.host}/models/{quote(self.name)}/resolve/master/{quote(name)}"
            for source in self.sources
        ]


def _address(host: str, repository: str, revision: str, name: str) -> str:
    return f"{host}/{quote(repository)}/resolve/{quote(revision, safe='')}/{quote(name)}"


def _is_wanted(name: str) -> bool:
    """Whether a package has such a file, and we need it: in one of its two folders, for any machine."""
    path = PurePosixPath(name)
    inside = len(path.parts) == 2 and path.parts[0] in FOLDERS.values() and not path.name.startswith(".")
    return name == str(path) and (name == CONFIG or (inside and path.suffix not in _OTHER_MACHINES))


def _get(address: str) -> bytes:
    """What is at that address. Raises _NoListError."""
    import http.client  # with ssl, these take 4 MB, and a model's process never comes here
    import urllib.error
    import urllib.request

    request = urllib.request.Request(address, headers={"User-Agent": "immich-indexer"})  # noqa: S310 - as in download
    try:
        with urllib.request.urlopen(request, timeout=_SILENCE) as response:  # noqa: S310
            content: bytes = response.read(_SMALL + 1)
    except urllib.error.HTTPError as error:
        raise _NoListError(f"answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _NoListError(words_of(error)) from error
    if len(content) > _SMALL:
        raise _NoListError("its answer has no end")
    return content
