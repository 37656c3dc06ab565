"""The files in which an ONNX model keeps weights outside of its own file, read without the package `onnx`.

A model is a message of Protocol Buffers. Only the fields on the way to the names of files are read, by their numbers in
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; weights inside the file are skipped.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from indexer.errors import WeightsError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5  # of ModelProto, of GraphProto
_ATTRIBUTE, _TENSOR, _SUBGRAPH = 5, 5, 6  # of NodeProto, of AttributeProto
_EXTERNAL, _KEY, _VALUE = 13, 1, 2  # of TensorProto, of StringStringEntryProto


def files_of(model: Path) -> list[Path]:
    """The model's file, and those of its external data, in the order of their names.

    Raises:
        WeightsError: a file is missing, the model cannot be read, or names a file outside of its folder.
    """
    try:
        with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            names = {name for start, end in _fields(data, 0, len(data), _GRAPH) for name in _of_graph(data, start, end)}
    except (OSError, ValueError, IndexError) as error:
        if isinstance(error, FileNotFoundError):
            raise WeightsError(f"{model} is missing") from None
        raise WeightsError(f"{model} is damaged or no ONNX model: {error}") from error
    paths = []
    for name in sorted(names):
        path = model.parent / name
        if ".." in PurePosixPath(name).parts or not path.is_relative_to(model.parent):
            raise WeightsError(f"{model} keeps weights outside of its folder: {name}")
        paths.append(path)
        if not path.is_file():
            raise WeightsError(f"{path} is missing: {model.name} keeps weights in it")
    return [model, *paths]


def _of_graph(data: mmap.mmap, start: int, end: int) -> Iterator[str]:
    for part in _fields(data, start, end, _INITIALIZER):
        yield from _of_tensor(data, *part)
    for node in _fields(data, start, end, _NODE):
        for attribute in _fields(data, *node, _ATTRIBUTE):
            for part in _fields(data, *attribute, _TENSOR):
                yield from _of_tensor(data, *part)
            for part in _fields(data, *attribute, _SUBGRAPH):
                yield from _of_graph(data, *part)


def _of_tensor(data: mmap.mmap, start: int, end: int) -> Iterator[str]:
    for entry in _fields(data, start, end, _EXTERNAL):
        keys = [data[slice(*part)] for part in _fields(data, *entry, _KEY)]
        if keys == [b"location"]:
            yield from (data[slice(*part)].decode() for part in _fields(data, *entry, _VALUE))


def _fields(data: mmap.mmap, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Where the values of the field with that number begin and end, in the message from `start` to `end`."""
    at = start
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _BYTES:
            size, at = _varint(data, at)
            if size > end - at:
                raise ValueError("it is cut short")
            if tag >> 3 == wanted:
                yield at, at + size
            at += size
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"byte {at} begins no field")


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(f"byte {at} ends no number")
