"""Inputs during which an engine's process ended. Each is tried alone, until it is cleared or proven to be the cause."""

import hashlib
import pickle
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

_MOST = 1_000  # the most inputs remembered: more are never in work at once
_DEATHS = 2  # ends of a process with this input alone, after one with others, that prove it is the cause


@dataclass
class _Record:
    alone: int = 0  # ends of a process that worked on this input alone
    successes: int = 0  # successes of other inputs, at the first such end


class Suspects:
    """Suspected inputs of an engine, by their content. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: OrderedDict[bytes, _Record] = OrderedDict()
        self._successes = 0

    def among(self, items: Sequence[object]) -> bool:
        """Whether one of `items` is suspected."""
        return bool(self._records) and any(_key(item) in self._records for item in items)

    def accuse(self, items: Sequence[object]) -> None:
        """The process ended while it worked on `items`, and perhaps on others."""
        with self._lock:
            for item in items:
                self._records.setdefault(_key(item), _Record())
            while len(self._records) > _MOST:
                self._records.popitem(last=False)

    def ended_alone(self, item: object, *, killed: bool) -> bool:
        """The process, which passed its probe, ended while it worked on `item` alone. Returns whether that is proof.

        If it was `killed`, memory may be short for every input: then others must have succeeded in between.
        """
        with self._lock:
            record = self._records.setdefault(_key(item), _Record())
            if not record.alone:
                record.successes = self._successes
            record.alone += 1
            return record.alone >= _DEATHS and (not killed or self._successes > record.successes)

    def clear(self, items: Sequence[object]) -> None:
        """`items` succeeded."""
        with self._lock:
            self._successes += len(items)
            if self._records:
                for item in items:
                    self._records.pop(_key(item), None)


def _key(item: object) -> bytes:
    buffers: list[pickle.PickleBuffer] = []
    digest = hashlib.sha256(pickle.dumps(item, protocol=5, buffer_callback=buffers.append))
    for buffer in buffers:
        digest.update(buffer.raw())
    return digest.digest()
