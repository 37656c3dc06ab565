"""The photos that an engine has read since it was last known to be well: to be read again where it was not."""

from collections import OrderedDict
from time import monotonic
from uuid import UUID

from indexer.models.engine import Engine

_MOST = 100_000


class Unproven:
    """Of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._assets: OrderedDict[UUID, float] = OrderedDict()  # when each was read, the oldest first

    def made(self, asset: UUID) -> None:
        """It has read that photo."""
        self._assets.pop(asset, None)
        self._assets[asset] = monotonic()
        self._drop(len(self._assets) - _MOST)

    def take(self) -> list[UUID]:
        """Those read since the last probe that went well; they are not told again."""
        self._drop(0)
        assets, self._assets = list(self._assets), OrderedDict()
        return assets

    def _drop(self, more: int) -> None:
        """Forget those read before that probe began, and so many more."""
        proven = self._engine.proven
        while self._assets and (more > 0 or next(iter(self._assets.values())) < proven):
            self._assets.popitem(last=False)
            more -= 1
