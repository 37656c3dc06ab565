"""Whose fault each error is, as tables. Every class of the libraries that can raise one of them stands in a table."""

import errno
import inspect
import struct
import types
import zlib

import asyncpg
import cv2
import onnxruntime.capi.onnxruntime_pybind11_state as onnxruntime
import PIL.Image
import PIL.ImageFile
import pytest
import torch
import torch.cuda
from PIL import Image

from indexer import images
from indexer.database.refusal import RefusedError
from indexer.errors import ModelError, PictureError, SchemaError
from indexer.models.engines.host import GoneError
from indexer.models.engines.messages import CallError
from indexer.models.engines.states import PROVEN, EngineAwayError, GuiltError, Phase, State
from indexer.work import verdicts
from indexer.work.media import Media, MediaError, UnreadableError
from indexer.work.verdicts import Verdict

PHOTO, MACHINE, IMMICH = Verdict.PHOTO, Verdict.MACHINE, Verdict.IMMICH

# What PostgreSQL says, by the first characters of its SQLSTATE, the longest that fits. "never": though others are
# written meanwhile, it is not proven to be the photo's either.
SQLSTATES = {
    "01": (MACHINE, "warning"),
    "02": (MACHINE, "no data"),
    "03": (MACHINE, "SQL statement not yet complete"),
    "08": (MACHINE, "connection", "never"),
    "09": (MACHINE, "triggered action"),
    "0A": (MACHINE, "feature not supported"),
    "0B": (MACHINE, "invalid transaction initiation"),
    "0F": (MACHINE, "locator"),
    "0L": (MACHINE, "invalid grantor"),
    "0P": (MACHINE, "invalid role"),
    "0Z": (MACHINE, "diagnostics"),
    "10": (MACHINE, "XQuery"),
    "20": (MACHINE, "case not found"),
    "21": (MACHINE, "cardinality"),
    "22": (PHOTO, "data: the database refuses its very values"),
    "23": (PHOTO, "integrity constraint: the same"),
    "23503": (IMMICH, "foreign key: the photo is gone"),
    "24": (MACHINE, "cursor state"),
    "25": (MACHINE, "transaction state: 25006 read-only, 25P03 idle in transaction", "never"),
    "26": (MACHINE, "statement name"),
    "27": (MACHINE, "triggered data change"),
    "28": (MACHINE, "login"),
    "2B": (MACHINE, "dependent privileges"),
    "2D": (MACHINE, "transaction termination"),
    "2F": (MACHINE, "SQL routine"),
    "34": (MACHINE, "cursor name"),
    "38": (MACHINE, "external routine"),
    "39": (MACHINE, "external routine invocation"),
    "3B": (MACHINE, "savepoint"),
    "3D": (MACHINE, "no such database"),
    "3F": (MACHINE, "no such schema: a backup is being restored"),
    "40": (MACHINE, "rollback: deadlock, serialization", "never"),
    "42": (MACHINE, "no such table, no right: a backup is being restored"),
    "44": (MACHINE, "WITH CHECK OPTION"),
    "53": (MACHINE, "no disk, memory or connection left", "never"),
    "54": (MACHINE, "program limit"),
    "55": (MACHINE, "lock not available", "never"),
    "57": (MACHINE, "statement_timeout, shutting down, starting", "never"),
    "58": (MACHINE, "I/O error of its disk", "never"),
    "72": (MACHINE, "snapshot too old"),
    "F0": (MACHINE, "configuration file"),
    "HV": (MACHINE, "foreign data wrapper"),
    "P0": (MACHINE, "PL/pgSQL"),
    "XX": (MACHINE, "internal error, corrupted data"),
}

# What asyncpg says by itself.
ASYNCPG = {
    "PostgresError": MACHINE,
    "FatalPostgresError": MACHINE,
    "UnknownPostgresError": MACHINE,
    "InterfaceError": MACHINE,
    "InterfaceWarning": MACHINE,
    "InternalClientError": MACHINE,
    "ProtocolError": MACHINE,
    "OutdatedSchemaCacheError": MACHINE,
    "TargetServerAttributeNotMatched": MACHINE,
    "UnsupportedClientFeatureError": MACHINE,
    "UnsupportedServerFeatureError": MACHINE,
    "ClientConfigurationError": MACHINE,
    "_base.DataError": PHOTO,  # a value that cannot be sent
}

# What a model may raise. All of it is the machine's until the same photo fails again on an engine that is well.
MODELS = {
    torch: {
        "OutOfMemoryError",
        "AcceleratorError",
        "CudaError",
        "DeferredCudaCallError",
        "FatalError",
        "JITException",
        "_LinAlgError",
        "_DistError",
        "_DistBackendError",
        "_DistNetworkError",
        "_DistStoreError",
        "_DistQueueEmptyError",
    },
    onnxruntime: {
        "Fail",
        "InvalidArgument",
        "NoSuchFile",
        "NoModel",
        "EngineError",
        "RuntimeException",
        "InvalidProtobuf",
        "ModelLoaded",
        "NotImplemented",
        "InvalidGraph",
        "EPFail",
        "DeviceReset",
        "ModelLoadCanceled",
        "ModelRequiresCompilation",
        "NotFound",
    },
    cv2: {"error"},
}

# What comes of no library, or of the system.
OTHERS = {
    PictureError("not a readable picture: it is cut short"): PHOTO,
    ModelError("the CLIP model answered with values that are not finite numbers"): MACHINE,
    GuiltError("RuntimeError: a shape that it cannot take"): PHOTO,  # whatever a model raised, once it is proven
    EngineAwayError("the CLIP model", State(Phase.SICK, reason="CUDA error: unknown error")): MACHINE,
    CallError("RuntimeError: CUDA error: unknown error"): MACHINE,
    CallError("MemoryError: ", lacks_memory=True): MACHINE,
    GoneError("its process ended with a SIGSEGV"): MACHINE,
    MediaError("/data/thumbs is not there"): MACHINE,
    UnreadableError("preview unreadable: Permission denied"): MACHINE,
    SchemaError("smart_search.embedding has no width"): MACHINE,
    MemoryError(): MACHINE,
    RuntimeError("can't start new thread"): MACHINE,
    TimeoutError(): MACHINE,
    ConnectionResetError(): MACHINE,
    OSError(errno.EMFILE, "Too many open files"): MACHINE,
    OSError(errno.ENOMEM, "Cannot allocate memory"): MACHINE,
    OSError(errno.ENOSPC, "No space left on device"): MACHINE,
    OSError(errno.EIO, "Input/output error"): MACHINE,
    ValueError("of which nobody has heard"): MACHINE,
}

# What Pillow raises while it opens or decodes, as `images.decode` passes it on. Its own OSErrors have no number.
DECODING = {
    PIL.UnidentifiedImageError("cannot identify image file"): PHOTO,
    PIL.Image.DecompressionBombError("too many pixels"): PHOTO,
    SyntaxError("broken PNG file"): PHOTO,
    ValueError("bad value"): PHOTO,
    EOFError(): PHOTO,
    struct.error("unpack requires more"): PHOTO,
    zlib.error("incorrect header check"): PHOTO,
    OSError("image file is truncated"): PHOTO,
    OSError("broken data stream when reading image file"): PHOTO,
    OSError("out of memory error when reading image file"): MACHINE,
    MemoryError(): MACHINE,
    OSError(errno.ENOMEM, "Cannot allocate memory"): MACHINE,
    OSError(errno.EMFILE, "Too many open files"): MACHINE,
}

# What the system says of a preview, as `Media.read` passes it on.
READING = {
    errno.ENOENT: PHOTO,
    errno.EISDIR: PHOTO,
    errno.ENOTDIR: PHOTO,
    errno.ENAMETOOLONG: PHOTO,
    errno.ELOOP: PHOTO,
    errno.EACCES: MACHINE,
    errno.EPERM: MACHINE,
    errno.EMFILE: MACHINE,
    errno.ENFILE: MACHINE,
    errno.ENOMEM: MACHINE,
    errno.EIO: MACHINE,
    errno.ESTALE: MACHINE,
    errno.ENOTCONN: MACHINE,
    errno.ETIMEDOUT: MACHINE,
    errno.ENODEV: MACHINE,
}


def exceptions_of(module: types.ModuleType) -> dict[str, type[BaseException]]:
    return {
        name: kind
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, BaseException) and not issubclass(kind, Warning)
    }


def made(kind: type[BaseException]) -> BaseException:
    """One of that class, whatever its arguments: the verdict looks at classes and codes alone."""
    return kind.__new__(kind)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_what_no_photo_is_guilty_of_though_it_comes_with_that_photo_alone(error):
    """Memory, threads and files: a large photo needs more of them than a small one."""
    never = isinstance(error, OSError | MemoryError) or "new thread" in str(error)
    assert verdicts.can_be_proven(error) == (not never)


SERVER = {name: kind for name, kind in vars(asyncpg.exceptions).items() if getattr(kind, "sqlstate", None)}


@pytest.mark.parametrize("name", SERVER)
def test_what_postgresql_says(name):
    error = made(SERVER[name])
    row = next((SQLSTATES[error.sqlstate[:n]] for n in (5, 2) if error.sqlstate[:n] in SQLSTATES), None)
    assert row is not None, f"{name}, SQLSTATE {error.sqlstate}, has no row"
    assert verdicts.of(error) is row[0]
    assert verdicts.can_be_proven(error) == ("never" not in row)


def test_an_sqlstate_that_asyncpg_has_no_class_for():
    error = asyncpg.PostgresError.new({"C": "22ZZZ", "M": "of tomorrow", "S": "ERROR"})
    assert verdicts.of(error) is PHOTO
    assert verdicts.of(asyncpg.PostgresError.new({"C": "ZZ001", "M": "of tomorrow", "S": "ERROR"})) is MACHINE


def test_what_asyncpg_says():
    own = {
        name: kind
        for name, kind in vars(asyncpg.exceptions).items()
        if inspect.isclass(kind) and issubclass(kind, BaseException) and not getattr(kind, "sqlstate", None)
    }
    own["_base.DataError"] = asyncpg.exceptions._base.DataError
    assert {name: verdicts.of(made(kind)) for name, kind in own.items()} == ASYNCPG


@pytest.mark.parametrize("module", MODELS, ids=lambda module: module.__name__)
def test_what_models_raise(module):
    found = exceptions_of(module)
    if module is torch:
        found |= exceptions_of(torch.cuda) | exceptions_of(torch._C)
    assert found
    assert set(found) <= MODELS[module], "one has no row"
    assert {verdicts.of(made(kind)) for kind in found.values()} == {MACHINE}
    assert all(verdicts.can_be_proven(made(kind)) for kind in found.values())


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_what_comes_of_no_library(error):
    assert verdicts.of(error) is OTHERS[error]


@pytest.mark.parametrize("error", DECODING, ids=repr)
def test_what_pillow_raises(error, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the question
        images.decode(b"anything", max_pixels=1)
    assert verdicts.of(caught.value) is DECODING[error]


def test_no_exception_of_pillows_is_missing():
    found = exceptions_of(PIL) | exceptions_of(PIL.Image) | exceptions_of(PIL.ImageFile)
    assert set(found.values()) <= {type(error) for error in DECODING}


@pytest.mark.parametrize("number", READING, ids=errno.errorcode.get)
async def test_what_the_system_says_of_a_preview(number, monkeypatch, tmp_path):
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr("pathlib.Path.open", fails)
    media = Media(images.PathMap.parse(f"/data={tmp_path}"), max_bytes=1, timeout=10)
    with pytest.raises((PictureError, MediaError)) as caught:
        await media.read("/data/preview.jpeg")
    assert verdicts.of(caught.value) is READING[number]
    assert verdicts.can_be_proven(caught.value) == (number not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (asyncpg.ReadOnlySQLTransactionError("read-only"), True),
        (asyncpg.PostgresIOError("I/O"), True),
        (asyncpg.CannotConnectNowError("starting"), True),
        (asyncpg.PostgresSyntaxError("of tomorrow"), True),
        (ConnectionRefusedError(), True),
        (asyncpg.InvalidPasswordError("no"), False),
        (asyncpg.InvalidAuthorizationSpecificationError("no"), False),
        (asyncpg.InvalidCatalogNameError("no"), False),
        (RefusedError("a pooler"), False),
        (SchemaError("too new"), False),
        (AssertionError("ours"), False),
    ],
    ids=repr,
)
def test_what_a_process_waits_for_at_its_start(error, passes):
    assert verdicts.passes(error) is passes


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [
        ("preview missing: /data/thumbs/a.jpeg", PHOTO),
        ("preview unreadable: /data/thumbs/a.jpeg: Is a directory", PHOTO),
        ("preview unreadable: /data/thumbs/a.jpeg: Permission denied", MACHINE),
        ("preview unreadable: /data/thumbs/a.jpeg: Too many open files", MACHINE),
        ("not a readable picture: it is cut short", PHOTO),
        ("not a readable picture: it is damaged (MemoryError)", MACHINE),
        ("not a readable picture: it is damaged (out of memory error when reading image file)", MACHINE),
        ("picture too large: 30000 x 30000 pixels, at most 64000000 are allowed", PHOTO),
        ("the indexer died while it worked on this photo (attempt 4)", PHOTO),
        ("no vector was made: RuntimeError: CUDA error: an illegal memory access was encountered", MACHINE),
        ("no vector was made: the CLIP model answered with values that are not finite numbers", MACHINE),
        ("the text was not read: error: OpenCV(4.13) Insufficient memory", MACHINE),
        (f"the text was not read: RuntimeError: no memory, {verdicts.PROVEN}", PHOTO),
        (f"the text was not read: MemoryError: , {verdicts.PROVEN}", PHOTO),
        (f"no vector was made: RuntimeError: a shape that it cannot take, {PROVEN}", PHOTO),
        ("cannot write the results: ReadOnlySQLTransactionError: cannot execute UPDATE", MACHINE),
        ("cannot write the results: UntranslatableCharacterError: unsupported Unicode", PHOTO),
        ("cannot write the results: InternalServerError: corrupted page", MACHINE),
        ("RuntimeError: can't start new thread", MACHINE),
        ("", MACHINE),
    ],
)
def test_what_was_given_up(reason, verdict):
    assert verdicts.of_reason(reason) is verdict
