"""What an engine was at when its process ended: each is tried alone then, until it is cleared or found guilty."""

import hashlib
import pickle
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

_MOST = 1_000  # remembered; more were never under way at once
_DEATHS = 2  # alone, after one in company, that prove its guilt


@dataclass
class _Record:
    alone: int = 0  # ends of a process that had nothing but it
    successes: int = 0  # of others, at the first of them


class Suspects:
    """Inputs of an engine, by what is in them; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: OrderedDict[bytes, _Record] = OrderedDict()
        self._successes = 0

    def among(self, items: Sequence[object]) -> bool:
        """Whether one of `items` is suspected."""
        return bool(self._records) and any(_key(item) in self._records for item in items)

    def accuse(self, items: Sequence[object]) -> None:
        """The process ended while it was at `items`, and perhaps at others."""
        with self._lock:
            for item in items:
                self._records.setdefault(_key(item), _Record())
            while len(self._records) > _MOST:
                self._records.popitem(last=False)

    def ended_alone(self, item: object, *, killed: bool) -> bool:
        """The process, which was well, ended while it was at nothing but `item`. Returns whether that proves its guilt.

        Where it was `killed`, memory may be short for each of them: others must have done well in between.
        """
        with self._lock:
            record = self._records.setdefault(_key(item), _Record())
            if not record.alone:
                record.successes = self._successes
            record.alone += 1
            return record.alone >= _DEATHS and (not killed or self._successes > record.successes)

    def clear(self, items: Sequence[object]) -> None:
        """`items` went well."""
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
