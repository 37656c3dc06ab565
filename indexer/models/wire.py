"""Objects through a socket between two of our own processes: arrays go as they lie in memory, without a copy in pickle.

A message is the number of its parts, the length of each, and the parts: pickle's own (protocol 5), then its buffers.
"""

import pickle
import socket
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

_COUNT = struct.Struct("<I")
_BUFFERS_AT_ONCE = 500  # of one sendmsg: Linux takes 1024


def send(end: socket.socket, message: object) -> None:
    """Send `message`; blocks until it is on its way. Raises OSError where the other end is gone."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    lengths = struct.pack(f"<{len(parts)}Q", *(len(part) for part in parts))
    _send_all(end, [memoryview(_COUNT.pack(len(parts)) + lengths), *parts])


def receive(end: socket.socket) -> Any:
    """The next message. Its arrays may be written to.

    Raises:
        EOFError: the other end is closed.
        TimeoutError: nothing came within the socket's timeout.
    """
    (count,) = _COUNT.unpack(_exactly(end, _COUNT.size))
    lengths = struct.unpack(f"<{count}Q", _exactly(end, 8 * count))
    body, *buffers = [_exactly(end, length) for length in lengths]
    return pickle.loads(body, buffers=buffers)  # noqa: S301 - what we have sent to ourselves


def _send_all(end: socket.socket, parts: Sequence[memoryview]) -> None:
    left = [part for part in parts if len(part)]
    while left:
        sent = end.sendmsg(left[:_BUFFERS_AT_ONCE])
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if sent:
            left[0] = left[0][sent:]


def _exactly(end: socket.socket, length: int) -> memoryview:
    # Not zeroed first, as a bytearray would be.
    whole = np.empty(length, dtype=np.uint8).data
    got = 0
    while got < length:
        read = end.recv_into(whole[got:], length - got)
        if not read:
            raise EOFError("the other end is closed")
        got += read
    return whole
