"""Sends objects through a socket between two of our own processes. Arrays are sent from where they are in memory.

A message is the number of its parts, the length of each, and the parts: pickle's own data (protocol 5), then its
buffers. Both processes may share memory for the buffers in one direction. Then a picture is copied once, and not in
the small pieces that a socket takes at a time.
"""

import mmap
import os
import pickle
import socket
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

_COUNT = struct.Struct("<I?")  # the number of parts; whether the buffers are in the shared memory
_SHARED = 64 << 20  # bytes of shared memory: larger messages go through the socket
_LINE = 64  # each buffer there starts at a multiple of so many bytes, as a processor's cache lines do
_WASTE = bytearray(1 << 16)  # for bytes that are dropped
_BUFFERS_AT_ONCE = 500  # for one sendmsg: the limit of Linux is 1024


def share() -> int | None:
    """The file descriptor of memory for messages to the other process. None where the system has none: do without it.

    Memory is taken when it is first used: as much as the largest message so far.
    """
    try:
        file = os.memfd_create("immich-indexer")
    except (AttributeError, OSError):  # not on Linux; no further file may be opened
        return None
    try:
        os.ftruncate(file, _SHARED)
    except OSError:
        os.close(file)
        return None
    return file


def attach(file: int) -> mmap.mmap:
    """That memory, as the other process sees it. Closes the file descriptor."""
    try:
        return mmap.mmap(file, _SHARED)
    finally:
        os.close(file)


def send(end: socket.socket, message: object, shared: int | None = None) -> None:
    """Send `message`. Blocks until it is sent. `shared`: memory that the message before needs no more.

    Raises:
        OSError: the other end is closed.
        Exception: it cannot be pickled, as when memory is short. Nothing was sent.
    """
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    lengths = struct.pack(f"<{len(parts)}Q", *(len(part) for part in parts))
    in_shared = shared is not None and _put(shared, parts[1:])
    header = memoryview(_COUNT.pack(len(parts), in_shared) + lengths)
    _send_all(end, [header, *(parts[:1] if in_shared else parts)])


def receive(end: socket.socket, shared: mmap.mmap | None = None) -> Any:
    """The next message. Its arrays are writable. What is in `shared` is valid until this message is answered.

    Raises:
        EOFError: the other end is closed.
        TimeoutError: nothing arrived within the socket's timeout.
        MemoryError: there is none for this message, which is lost. The next one can be received.
    """
    count, in_shared = _COUNT.unpack(_exactly(end, _COUNT.size))
    lengths = struct.unpack(f"<{count}Q", _exactly(end, 8 * count))
    sent = lengths[:1] if in_shared else lengths
    try:
        parts = [_room(length) for length in sent]
    except MemoryError:
        _skip(end, sum(sent))
        raise
    for part in parts:
        _fill(end, part)
    body, *buffers = parts
    if in_shared:
        whole = memoryview(shared)  # type: ignore[arg-type]  # who is sent such a message has attached it
        buffers = [whole[at : at + size] for at, size in zip(_places(lengths[1:]), lengths[1:], strict=True)]
    return pickle.loads(body, buffers=buffers)  # noqa: S301 - from our own process


def _put(shared: int, parts: Sequence[memoryview]) -> bool:
    """Write the parts into the shared memory. False where there are none, or they find no room.

    They are written as into a file: where the system has no memory left that is an error, and not the process's end.
    """
    places = _places([len(part) for part in parts])
    if not parts or places[-1] + len(parts[-1]) > _SHARED:
        return False
    try:
        return all(os.pwrite(shared, part, place) == len(part) for part, place in zip(parts, places, strict=True))
    except OSError:
        return False


def _places(lengths: Sequence[int]) -> list[int]:
    """Where parts of these lengths start in the shared memory."""
    places, end = [], 0
    for length in lengths:
        places.append(-(-end // _LINE) * _LINE)
        end = places[-1] + length
    return places


def _send_all(end: socket.socket, parts: Sequence[memoryview]) -> None:
    left = [part for part in parts if len(part)]
    while left:
        sent = end.sendmsg(left[:_BUFFERS_AT_ONCE])
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if sent:
            left[0] = left[0][sent:]


def _exactly(end: socket.socket, length: int) -> memoryview:
    part = _room(length)
    _fill(end, part)
    return part


def _room(length: int) -> memoryview:
    return np.empty(length, dtype=np.uint8).data  # not zeroed first, as a bytearray would be


def _fill(end: socket.socket, part: memoryview) -> None:
    got = 0
    while got < len(part):
        got += _read(end, part[got:])


def _skip(end: socket.socket, length: int) -> None:
    """Read so many bytes, and forget them."""
    while length:
        length -= _read(end, memoryview(_WASTE)[:length])


def _read(end: socket.socket, part: memoryview) -> int:
    read = end.recv_into(part)
    if not read:
        raise EOFError("the other end is closed")
    return read
