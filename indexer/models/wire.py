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
_BUFFERS_AT_ONCE = 500  # for one sendmsg: the limit of Linux is 1024


def send(end: socket.socket, message: object) -> None:
    """Send `message`. Blocks until it is sent. Raises OSError where the other end is closed."""
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
    """
    (count,) = _COUNT.unpack(_exactly(end, _COUNT.size))
    lengths = struct.unpack(f"<{count}Q", _exactly(end, 8 * count))
    body, *buffers = [_exactly(end, length) for length in lengths]
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
    # Not filled with zeros first, as a bytearray would be.
    whole = np.empty(length, dtype=np.uint8).data
    got = 0
    while got < length:
        read = end.recv_into(whole[got:], length - got)
        if not read:
            raise EOFError("the other end is closed")
        got += read
    return whole
