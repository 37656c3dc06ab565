"""`GET /api/trial` and `/api/trial/search`: another model beside the one in use, for administrators of Immich."""

from functools import partial
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from gateway.answers import as_json
from gateway.errors import ConflictError, ForbiddenError
from gateway.gate import Gate
from gateway.library import Library, Vector
from gateway.metrics import Metrics
from gateway.ml.text import Texts
from gateway.ml.tried import TriedTower
from gateway.people.identity import Person
from gateway.people.operation import Answer, Asked, Endpoint, Operation
from gateway.people.parameters import MustBe, Parameters, Whole
from gateway.people.search import spoken
from indexer.database.pool import Pool
from indexer.photos import trials
from indexer.photos.trials import Cost, Ranked, Score, Trial, TrialError
from indexer.search.viewer import viewer
from indexer.views.shapes import Moment, Shape

_AT_ONCE = 8
_LONGEST = 200  # characters of a question


class TrialSearchParameters(Parameters):
    """What to ask both models."""

    q: Annotated[
        Annotated[str, Field(max_length=_LONGEST, pattern=r"\S")], MustBe("say what to look for, as in ?q=海边日落")
    ] = Field(description="What the photos show. All of it is taken by its meaning.")
    limit: Whole = Field(20, ge=1, le=100, description="Photos of each model.")


class TrialScore(Shape):
    """How well both models find the photos of the sample by words that Immich has for them."""

    kind: Literal["description", "tag", "album", "person", "all"]
    questions: Annotated[int, Field(description="Different words or sentences.")]
    current: Annotated[
        float,
        Field(
            description="R@10 of the model in use, 0 to 1: of the photos with the words, the share among the first 10."
        ),
    ]
    tried: Annotated[float, Field(description="R@10 of the tried model.")]
    low: Annotated[float, Field(description="Of the 95 % interval of `tried` - `current`.")]
    high: float
    verdict: Annotated[
        Literal["few", "same", "better", "worse"],
        Field(description="Of the tried model. `same`: it may be chance. `few`: too few questions."),
    ]


class TrialCost(Shape):
    """What reading takes, where it was measured."""

    seconds: Annotated[float | None, Field(description="Seconds a photo.")]
    memory: Annotated[int | None, Field(description="The most bytes of the model's process.")]


class TrialFigures(Shape):
    """What the last trial measured on its photos, which are everybody's."""

    made_at: Moment
    current: Annotated[str, Field(description="The model in use then.")]
    tried: str
    setting: Annotated[str, Field(description="The value of CLIP_MODEL that names the tried one.")]
    photos: int
    left_out: Annotated[int, Field(description="Photos that could not be read, or had changed.")]
    lacking: Annotated[int, Field(description="Photos that a change would have to read.")]
    seconds: Annotated[float | None, Field(description="How long the change would take.")]
    scores: Annotated[list[TrialScore], Field(description="That of all questions last; empty: there are no words.")]
    current_cost: TrialCost
    tried_cost: TrialCost


class TrialAnswer(Shape):
    """The last trial."""

    trial: Annotated[TrialFigures | None, Field(description="null: there was none, or it was forgotten.")]


class TrialPhoto(Shape):
    """A photo of the trial, with its similarity to the question and its rank by each model."""

    asset_id: UUID
    file_name: str
    current: Annotated[float, Field(description="Cosine to the question, by the model in use.")]
    tried: float
    current_rank: Annotated[int, Field(description="1: the first.")]
    tried_rank: int


class TrialSearchAnswer(Shape):
    """What both models find."""

    photos: Annotated[int, Field(description="Photos of the trial that Immich shows you: both models rank these.")]
    items: Annotated[list[TrialPhoto], Field(description="Those among the first `limit` of either model.")]


TRIAL = Operation[Parameters, None](
    "GET",
    "/api/trial",
    "getTrial",
    "What the last trial of another model measured",
    Parameters,
    {200: Answer("The trial.", TrialAnswer)},
    text="For administrators of Immich. `immich-indexer model try` makes it.",
    permissions=("asset.read",),
)
TRIAL_SEARCH = Operation[TrialSearchParameters, None](
    "GET",
    "/api/trial/search",
    "searchTrial",
    "Photos of the trial, as both models rank them",
    TrialSearchParameters,
    {200: Answer("What was found.", TrialSearchAnswer)},
    text="For administrators of Immich, and only photos that Immich shows them.",
    permissions=("asset.read",),
    errors=(ConflictError,),
)


class TrialEndpoints:
    """Answers administrators.

    Args:
        texts: asks the model in use.
        tower: asks the tried one.
        library: Immich's database.
        metrics: where to count.
        deadline: seconds for one query.
    """

    def __init__(self, texts: Texts, tower: TriedTower, library: Library, metrics: Metrics, *, deadline: float) -> None:
        self.gate = Gate("questions to two models", _AT_ONCE)
        self._texts = texts
        self._tower = tower
        self._library = library
        self._metrics = metrics
        self._deadline = deadline

    def endpoints(self) -> list[Endpoint[Parameters, None] | Endpoint[TrialSearchParameters, None]]:
        """To be added to the API."""
        return [Endpoint(TRIAL, self._trial), Endpoint(TRIAL_SEARCH, self._search)]

    async def _trial(self, asked: Asked[Parameters, None]) -> web.Response:
        _admit(asked.person)
        with self.gate():
            trial = await self._library.need(trials.read)
        return as_json(TrialAnswer(trial=None if trial is None else _figures(trial)).as_json)

    async def _search(self, asked: Asked[TrialSearchParameters, None]) -> web.Response:
        _admit(asked.person)
        language = spoken(asked.request.headers.get("Accept-Language", ""))
        given = asked.parameters
        with self.gate(), self._metrics.timed("trial"):
            trial = await self._library.need(trials.read)
            if trial is None:
                raise ConflictError("no model has been tried: run `immich-indexer model try NAME`")
            tried = await self._tower.embed(trial.setting, trial.tried, given.q, language)
            find = partial(self._rank, asked, trial, tried, language)
            photos, ranked = await self._texts.unmixed(find)
        answer = TrialSearchAnswer(photos=photos, items=[_photo(photo) for photo in ranked])
        return as_json(answer.as_json)

    async def _rank(
        self, asked: Asked[TrialSearchParameters, None], trial: Trial, tried: Vector, language: str | None
    ) -> tuple[int, list[Ranked]]:
        used = await self._texts.look()
        if used is None or used.name != trial.current:
            raise ConflictError(
                f"the model in use is no longer {trial.current}, with which {trial.tried} was compared: run "
                "`immich-indexer model try` again"
            )
        current = await self._texts.embed(asked.parameters.q, language)

        async def question(pool: Pool) -> tuple[int, list[Ranked]]:
            eyes = await viewer(pool, asked.person.account.id)
            return await trials.rank(
                pool,
                trial,
                current,
                tried,
                first=asked.parameters.limit,
                user=eyes.user,
                owners=eyes.owners,
                archived=eyes.archived,
            )

        try:
            return await self._library.need(question, patience=self._deadline)
        except TrialError as error:
            raise ConflictError(str(error)) from error


def _admit(person: Person) -> None:
    if not person.account.is_admin:
        raise ForbiddenError("a trial of another model is shown only to administrators of Immich")


def _figures(trial: Trial) -> TrialFigures:
    figures = trial.figures
    return TrialFigures(
        made_at=trial.made_at,
        current=trial.current,
        tried=trial.tried,
        setting=trial.setting,
        photos=figures.photos,
        left_out=figures.left_out,
        lacking=figures.lacking,
        seconds=figures.seconds,
        scores=[_score(score) for score in figures.scores],
        current_cost=_cost(figures.current),
        tried_cost=_cost(figures.tried),
    )


def _score(score: Score) -> TrialScore:
    return TrialScore(
        kind=score.kind,
        questions=score.questions,
        current=score.current,
        tried=score.tried,
        low=score.low,
        high=score.high,
        verdict=score.verdict,
    )


def _cost(cost: Cost) -> TrialCost:
    return TrialCost(seconds=cost.seconds, memory=cost.memory)


def _photo(photo: Ranked) -> TrialPhoto:
    return TrialPhoto(
        asset_id=photo.asset_id,
        file_name=photo.file_name,
        current=photo.current,
        tried=photo.tried,
        current_rank=photo.current_rank,
        tried_rank=photo.tried_rank,
    )
