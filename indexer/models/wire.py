"""Sends objects through a socket between two of our own processes. Arrays are sent from where they are in memory.

A message is the number of its parts, the length of each, and the parts: pickle's own data (protocol 5), then its
buffers.
"""

import pickle
import socket
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

_COUNT = struct.Struct("<I")
_WASTE = bytearray(1 << 16)  # for bytes that are dropped
_BUFFERS_AT_ONCE = 500  # for one sendmsg: the limit of Linux is 1024


def send(end: socket.socket, message: object) -> None:
    """Send `message`. Blocks until it is sent.

    Raises:
        OSError: the other end is closed.
        Exception: it cannot be pickled, as when memory is short. Nothing was sent.
    """
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    lengths = struct.pack(f"<{len(parts)}Q", *(len(part) for part in parts))
    _send_all(end, [memoryview(_COUNT.pack(len(parts)) + lengths), *parts])


def receive(end: socket.socket) -> Any:
    """The next message. Its arrays are writable.

    Raises:
        EOFError: the other end is closed.
        TimeoutError: nothing arrived within the socket's timeout.
        MemoryError: there is none for this message, which is lost. The next one can be received.
    """
    (count,) = _COUNT.unpack(_exactly(end, _COUNT.size))
    lengths = struct.unpack(f"<{count}Q", _exactly(end, 8 * count))
    try:
        parts = [_room(length) for length in lengths]
    except MemoryError:
        _skip(end, sum(lengths))
        raise
    for part in parts:
        _fill(end, part)
    body, *buffers = parts
    return pickle.loads(body, buffers=buffers)  # noqa: S301 - from our own process


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
