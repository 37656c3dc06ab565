"""The models that one worker reads with: its own, and while the library's model is changed the current one, too."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import NoReturn
from uuid import UUID

import structlog

from indexer.database.backoff import Backoff
from indexer.database.pool import Pool
from indexer.database.trouble import TROUBLE, explain
from indexer.errors import IndexerError
from indexer.immich import ml_servers
from indexer.models import memory
from indexer.models.clip.cn_clip import weights
from indexer.models.clip.makers import maker_of
from indexer.models.engines.hosted import Hosted, dimensions_of, name_of
from indexer.models.inference import ClipModel
from indexer.models.load import Models, load_clip
from indexer.photos import sets
from indexer.photos.sets import Model, Own, Sets
from indexer.settings import Settings
from indexer.work import turn
from indexer.work.engine_watch import OtherModelsError
from indexer.work.pace import WorkerPace
from indexer.work.turn import TurnError

log = structlog.get_logger()


def published(settings: Settings) -> dict[str, str]:
    """The values of CLIP_MODEL that name published models of cn-clip, by the models' names."""
    named = {maker_of(model).name(model, settings.clip_download_root): model for model in weights.FILES}
    return {name: model for name, model in named.items() if name is not None}


class Lineup:
    """Decides which model reads what.

    Args:
        settings: of this process.
        own: the models that the settings name.
        open_clip: starts the model that another value of CLIP_MODEL names. It takes seconds.
        pace: how often to look.
    """

    def __init__(
        self,
        settings: Settings,
        own: Models,
        pace: WorkerPace,
        open_clip: Callable[[str], ClipModel] | None = None,
    ) -> None:
        self.models = own
        self._settings = settings
        self._own = own
        self._pace = pace
        self._open = open_clip or partial(load_clip, settings)
        self._others: dict[str, ClipModel] = {}
        self._seen: tuple[str | None, str | None] = (None, None)
        self._said = ""  # why the model could not be changed the last time

    async def join(self, pool: Pool, worker: UUID) -> Models:
        """Register this worker's model, and return the models that it has to read with now."""
        if self._own.clip is None:
            return self.models
        name = name_of(self._own.clip)
        found = await pool.run(sets.read)
        answers = found.current is None and await ml_servers.any_answers(self._settings.ml_urls)
        if name is not None:  # its weights are here
            own = Own(name, self._settings.clip_model, dimensions_of(self._own.clip))
            found = await pool.run(
                lambda connection: sets.register(
                    connection, own, worker, published(self._settings), immich_answers=answers
                )
            )
        self._seen = _names(found)
        self.models = await asyncio.to_thread(self._arranged, name, found)
        return self.models

    async def run(self, pool: Pool) -> None:
        """Look, without end, whether other models have to be used, and make the next one the current one in time.

        Raises:
            OtherModelsError: other models have to be used.
        """
        if self._own.clip is None:
            await asyncio.Event().wait()  # for ever: no CLIP model is of interest here
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._without_end(self._follow, pool, self._pace.vectors))
                group.create_task(self._without_end(self._push, pool, self._pace.turn))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    def close(self) -> None:
        """End the models that were started here."""
        for model in self._others.values():
            _close(model)
        self._others = {}

    @staticmethod
    async def _without_end(look: Callable[[Pool], Awaitable[None]], pool: Pool, pause: float) -> NoReturn:
        backoff = Backoff(pause)
        while True:
            trouble: Exception | None = None
            try:
                await look(pool)
            except OtherModelsError:
                raise
            except (*TROUBLE, IndexerError) as error:
                trouble = error
            await asyncio.sleep(backoff.after(trouble))

    async def _follow(self, pool: Pool) -> None:
        found = await pool.run(sets.read)
        if found.models and _names(found) != self._seen:
            raise OtherModelsError(_sentence(found))

    async def _push(self, pool: Pool) -> None:
        found = await pool.run(sets.read)
        known = name_of(self._own.clip) is not None
        if known and found.current is not None and found.current.is_immichs and await sets.is_empty(pool):
            raise OtherModelsError("Immich has emptied its vectors, so nothing is searched by its own model")
        following = found.next
        if following is None or name_of(self.models.next) != following.name:
            return
        share = self._settings.switch_share
        if share == 1 and await sets.is_waiting(pool):
            return
        progress = await sets.progress(pool, following.name)
        if not progress.suffices(share):
            return
        try:
            await turn.turn(self._settings.dsn, following.name, grace=self._pace.turn_grace, complete=share == 1)
        except (*TROUBLE, IndexerError) as error:
            reason = str(error) if isinstance(error, TurnError) else explain(error)
            if reason != self._said:
                log.warning("cannot change the model yet", reason=reason)
            self._said = reason
            raise

    def _arranged(self, name: str | None, found: Sets) -> Models:
        current, following = found.current, found.next
        own = self._own
        expected = name is None and current is not None and current.setting == self._settings.clip_model
        if current is None or current.name == name or expected:  # as far as is known without its weights
            self._keep(None)
            return own
        clip = None if current.is_immichs else self._other(current)
        if name is None or (following is not None and following.name == name):
            log.info("changing the model", **_told(found))
            return replace(own, clip=clip, next=own.clip)
        log.warning("CLIP_MODEL names another model than the one in use: see `immich-indexer model`", **_told(found))
        return replace(own, clip=clip)

    def _other(self, current: Model) -> ClipModel | None:
        setting = current.setting
        self._keep(setting)
        if setting is None:
            return None
        if setting not in self._others:
            try:
                if not memory.has_room(self._settings, setting):
                    log.warning(
                        "no memory for two models: until the change new photos are found by their text, and by meaning "
                        "only where another indexer reads them with the model in use; raise mem_limit to avoid that",
                        model=setting,
                    )
                    return None
                self._others[setting] = self._open(setting)
            except IndexerError as error:
                log.error("new photos get no vector of the model in use", model=setting, reason=str(error))
                return None
        if (name := name_of(self._others[setting])) not in (None, current.name):
            log.error("the model in use has other weights here", model=setting, here=name, in_use=current.name)
            self._keep(None)
            return None
        return self._others[setting]

    def _keep(self, setting: str | None) -> None:
        for other in [key for key in self._others if key != setting]:
            _close(self._others.pop(other))


def _names(found: Sets) -> tuple[str | None, str | None]:
    current, following = found.current, found.next
    return (current.name if current else None), (following.name if following else None)


def _told(found: Sets) -> dict[str, str | None]:
    current, following = _names(found)
    return {"current": current, "next": following}


def _sentence(found: Sets) -> str:
    current, following = _names(found)
    return f"the model in use is {current}" + (f", and it is being changed to {following}" if following else "")


def _close(model: ClipModel) -> None:
    if isinstance(model, Hosted):
        model.engine.close()
